package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/transit"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	ManyCitizens  = 100_000
	prefetchLoads = 4 // calls that a ring makes at the same time
	inVaultKeys   = "Vault's own answer to the same requests, replayed and dropped"
)

// errNoVault says that T8 and T9 measure a Vault and none is configured.
var errNoVault = errors.New("it needs a Vault for trying out: set COFFRE_VAULT_ADDR and what goes with it (deploy/vault/README.md)")

// appendsInVault is T8: T1 with keys in Vault beside T1 with keys in a file.
func (b *bench) appendsInVault(ctx context.Context) (err error) {
	inFile, err := b.newWriter(ctx, "T8file", 0, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inFile.Close()) }()
	inVault, err := b.newWriter(ctx, "T8vault", 0, b.Transit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inVault.Close()) }()
	got, err := b.compare(ctx, "T8", inFile.during(b.span), inVault.during(b.span))
	if err != nil {
		return err
	}
	return b.tell(got.measure("T8", "events/s", "T1, with keys in a file", ">= 0.95"))
}

// keysInVault is T9: bringing many citizens' keys into memory, and moving them to a
// new version of the key-encryption key, beside Vault answering the same requests.
func (b *bench) keysInVault(ctx context.Context) (err error) {
	dir, err := b.folder("T9")
	if err != nil {
		return err
	}
	var seen recorder
	cfg := b.Transit.Adapter()
	cfg.Transport, cfg.Timeout = seen.wrap, time.Minute
	k, err := transit.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	db, err := keysdb.Open(ctx, dir.File("keys.db"), sqlitedb.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ring := func() (*seal.Ring, error) { return seal.OpenRing(ctx, db, k, seal.Config{Subjects: b.Citizens}) }
	r, err := ring()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	rotator, err := r.TakeRotator(k)
	if err != nil {
		return err
	}
	citizens := make([]domain.CitizenID, b.Citizens)
	err = inParallel(ctx, len(citizens), func(ctx context.Context, i int) (err error) {
		citizens[i], _, err = r.Enroll(ctx, SSIN(i))
		return err
	})
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}

	prefetch := func(ctx context.Context) (_ pace, err error) {
		cold, err := ring()
		if err != nil {
			return pace{}, err
		}
		defer func() { err = errors.Join(err, cold.Close()) }()
		seen.forget()
		began := time.Now()
		err = cold.Prefetch(ctx, citizens)
		return over(b.Citizens, began), err
	}
	rotate := func(ctx context.Context) (_ pace, err error) {
		if _, err := k.Rotate(ctx); err != nil {
			return pace{}, err
		}
		seen.forget()
		began := time.Now()
		err = rotator.RewrapAll(ctx, nil)
		return over(b.Citizens, began), err
	}
	for _, one := range []struct {
		name, unit string
		subject    side
		act        string
		calls      int // at the same time
	}{{"T9.prefetch", "citizens/s", prefetch, "/decrypt/", prefetchLoads}, {"T9.rotation", "keys/s", rotate, "/rewrap/", 1}} {
		if _, err := one.subject(ctx); err != nil { // so that there is something to replay
			return fmt.Errorf("%s: %w", one.name, err)
		}
		got, err := b.compare(ctx, one.name, func(ctx context.Context) (pace, error) { return seen.replay(ctx, one.act, one.calls, b.Citizens) }, one.subject)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		if err := b.tell(got.measure(one.name, one.unit, inVaultKeys, ">= 0.6")); err != nil {
			return err
		}
	}
	return nil
}

// recorder keeps the requests with a thousand keys, to send them again.
type recorder struct {
	mu       sync.Mutex
	requests []recorded1000
}

type recorded1000 struct {
	inner  http.RoundTripper
	url    string
	header http.Header
	body   []byte
}

func (r *recorder) wrap(inner http.RoundTripper) http.RoundTripper {
	return roundTripper(func(q *http.Request) (*http.Response, error) {
		if q.Body == nil || !strings.Contains(q.URL.Path, "/decrypt/") && !strings.Contains(q.URL.Path, "/rewrap/") {
			return inner.RoundTrip(q)
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		sent := q.Clone(q.Context())
		sent.Body = io.NopCloser(bytes.NewReader(body))
		r.mu.Lock()
		r.requests = append(r.requests, recorded1000{inner, q.URL.String(), q.Header.Clone(), body})
		r.mu.Unlock()
		return inner.RoundTrip(sent)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// replay sends what was recorded of one kind again, so many requests at a time, reads
// the answers and drops them. It returns the keys a second.
func (r *recorder) replay(ctx context.Context, act string, calls, keys int) (pace, error) {
	r.mu.Lock()
	requests := slices.DeleteFunc(slices.Clone(r.requests), func(q recorded1000) bool { return !strings.Contains(q.url, act) })
	r.mu.Unlock()
	next := make(chan recorded1000, len(requests))
	for _, q := range requests {
		next <- q
	}
	close(next)
	var wg sync.WaitGroup
	errs := make([]error, calls)
	began := time.Now()
	for i := range calls {
		wg.Go(func() {
			for q := range next {
				if errs[i] = q.send(ctx); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return over(keys, began), errors.Join(errs...)
}

func (q recorded1000) send(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, q.url, bytes.NewReader(q.body))
	if err != nil {
		return err
	}
	request.Header = q.header
	answer, err := q.inner.RoundTrip(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK && err == nil {
		err = fmt.Errorf("vault answers %d", answer.StatusCode)
	}
	return errors.Join(err, answer.Body.Close())
}

// withoutVault is this process's environment for one that has everything, keys too, in
// its directory.
func withoutVault() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(v, "COFFRE_VAULT_") || slices.Contains([]string{vault.StoreVariable, vault.ReadModelsVariable, vault.KeysVariable}, name)
	})
}
