package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/domain"
	"coffre/eventstore/seal/transit/vaulttest"
)

const (
	outage  = time.Minute // in the soak
	stocked = 40          // documents to revoke and consents to withdraw while Vault is away
	turned  = 200         // answers that somebody should come back later, before Vault may; in the soak
)

// TestVaultGoneUnderLoad kills Vault while clients go on. What needs no key they
// are answered; what does, they are told to repeat; all that they were told is true in
// the end, and the server is never started again (docs/architecture.md §12).
func TestVaultGoneUnderLoad(t *testing.T) {
	t.Parallel()
	long, away := os.Getenv("COFFRE_SOAK") == "1", 3*drillClients
	if long {
		away = turned
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	server := vaulttest.Start(t)
	cfg := vaultOf(t, server)
	d := newDrill(t)
	d.options.Transit = cfg
	d.env = []string{
		"COFFRE_VAULT_ADDR=" + cfg.Address, "COFFRE_VAULT_CA_FILE=" + cfg.CAFile,
		"COFFRE_VAULT_ROLE=" + cfg.Application.Role, "COFFRE_VAULT_SECRET_ID_FILE=" + cfg.Application.SecretIDFile,
	}
	if !long { // on a machine that runs all tests at once
		d.env = append(d.env, "COFFRE_VAULT_TIMEOUT=20s")
	}
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)
	s, err := d.start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	insistent := &drillClient{drill: d, rng: rand.New(rand.NewPCG(seed, drillClients)), name: "insistent"}
	stock, err := insistent.stock(ctx)
	if err != nil {
		t.Fatal(err)
	}

	var clients sync.WaitGroup
	for i := range drillClients {
		c := &drillClient{drill: d, rng: rand.New(rand.NewPCG(seed, uint64(i))), name: fmt.Sprintf("drill-%d", i)}
		clients.Go(func() {
			if err := c.live(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				fail(err)
			}
		})
	}
	err = func() error {
		if err := d.burn(ctx, 200); err != nil {
			return err
		}
		server.Kill(t)
		if long {
			back := time.NewTimer(outage)
			defer back.Stop()
			defer func() { <-back.C }()
		}
		if err := insistent.use(ctx, stock); err != nil {
			return err
		}
		return d.turnedAway(ctx, away)
	}()
	if err == nil {
		server.Boot(t)
		server.Unseal(t)
		d.mu.Lock()
		issued := len(d.told.documents)
		d.mu.Unlock()
		err = poll(ctx, func() (bool, time.Time, error) { // until something new is there, by the same server
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.told.documents) > issued+drillClients, time.Time{}, nil
		})
	}
	if err == nil {
		err = d.burn(ctx, 200)
	}
	d.leaving.Store(true)
	if err == nil {
		err = s.terminate(ctx)
	}
	if err != nil && ctx.Err() == nil {
		t.Error(err)
		fail(err)
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
	slices.Sort(d.waits)
	at := func(share float64) time.Duration { return d.waits[int(share*float64(len(d.waits)-1))] }
	t.Logf("%d requests, of which %d were told to come back: after %v by the median, %v at 99 of 100, %v at most",
		d.sent.Load(), len(d.waits), at(0.5), at(0.99), at(1))
	d.check(t)
	words, hits := map[string]bool{discountText(): true}, map[string]string{}
	for _, person := range d.told.holders() {
		words[bench.SSIN(person).Reveal()] = true
	}
	newFinder(words).below(t, hits, string(d.dir))
	for word, where := range hits { // invented, so it may be shown
		t.Errorf("%q stands in %s", word, where)
	}
}

// takenBack is what can be taken back without a key.
type takenBack struct {
	person   int
	document domain.DocumentID
	consent  domain.ConsentID
}

func (c *drillClient) stock(ctx context.Context) (all []takenBack, err error) {
	for range stocked {
		h := takenBack{person: int(c.people.Add(1))}
		if h.document, err = c.issue(ctx, h.person); err != nil {
			return nil, err
		}
		if h.consent, err = c.grant(ctx, h.person); err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

// use takes everything back, at once and never told to come later.
func (c *drillClient) use(ctx context.Context, all []takenBack) error {
	for _, h := range all {
		err := errors.Join(
			c.withdraw(ctx, h.person, h.consent, true),
			c.changing(ctx, h.document, "revoke", 1, call{body: `{"reason":"issuedInError"}`, pass: true}),
		)
		if err != nil {
			return err
		}
		what := call{grant: drillConsumer, path: "/documents/" + h.document.String() + "/access", key: uuid.New(), body: `{"purpose":"familyDiscount","consentId":"` + h.consent.String() + `"}`}
		if r, err := c.ask(ctx, what); err != nil {
			return err
		} else if r.status != http.StatusForbidden { // C-4, and no key is needed to know
			return fmt.Errorf("an access under a withdrawn consent was answered %d", r.status)
		}
		c.note(func(t *promised) { t.refused[h.consent]++ })
	}
	return nil
}

// turnedAway waits until so many were told to come back later.
func (d *drill) turnedAway(ctx context.Context, n int) error {
	return poll(ctx, func() (bool, time.Time, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.waits) >= n, time.Time{}, nil
	})
}
