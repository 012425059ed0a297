package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/sqlite"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// check compares the directory that the drill left with what its clients were told.
func (d *drill) check(t *testing.T) {
	ctx := t.Context()
	if err := d.sound(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(ctx, d.dir, d.options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := v.Runner.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	logged := readLogged(t, v)
	logged.compare(t, d.told)

	r := &rig{Instance: v, dir: d.dir, key: d.key}
	before := d.shown(t, r)
	if err := v.Runner.Rebuild(ctx); err != nil {
		t.Fatal(err)
	}
	after := d.shown(t, r)
	if len(before) != len(after) {
		t.Fatalf("%d answers, after a rebuild %d", len(before), len(after))
	}
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("a rebuilt read model answers otherwise:\n%s\n%s", before[i], after[i])
		}
	}
}

// sound verifies every record and the file around them.
func (d *drill) sound(ctx context.Context) (err error) {
	store, err := sqlite.Open(ctx, string(d.dir), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	damaged, err := store.Verify(ctx, eventstore.Position{}, nil)
	if err == nil && len(damaged) > 0 {
		err = fmt.Errorf("%d records are damaged, the first: %w", len(damaged), damaged[0])
	}
	return err
}

// logged is what the log says happened, counted.
type logged struct {
	registered                    map[domain.CitizenID]int
	issued, updated, revoked      map[domain.DocumentID]int
	granted, withdrawn            map[domain.ConsentID]int
	attempts                      map[domain.AccessID]int
	under                         map[domain.AccessID]domain.ConsentID
	lateUses, outOfTurn, repeated int
}

func readLogged(t *testing.T, v *vault.Instance) logged {
	t.Helper()
	l := logged{
		map[domain.CitizenID]int{}, map[domain.DocumentID]int{}, map[domain.DocumentID]int{}, map[domain.DocumentID]int{},
		map[domain.ConsentID]int{}, map[domain.ConsentID]int{}, map[domain.AccessID]int{},
		map[domain.AccessID]domain.ConsentID{}, 0, 0, 0,
	}
	seen := map[uuid.UUID]bool{}
	for e, err := range v.Core.Log.ReadAll(t.Context(), eventstore.Position{}, math.MaxInt) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.ID] {
			l.repeated++
		}
		seen[e.ID] = true
		switch f := e.Data.(type) {
		case citizen.Registered:
			l.registered[f.Citizen]++
		case document.Issued:
			l.issued[f.Document]++
		case document.Updated:
			l.updated[f.Document]++
		case document.Revoked:
			l.revoked[f.Document]++
		case consent.Granted:
			l.granted[f.Consent]++
		case consent.Withdrawn:
			l.withdrawn[f.Consent]++
		case access.Authorized:
			if l.withdrawn[f.Consent] > 0 {
				l.lateUses++
			}
			l.under[f.Access] = f.Consent
			if l.attempts[f.Access]++; l.attempts[f.Access] != f.Attempt {
				l.outOfTurn++
			}
		}
	}
	return l
}

// compare holds the log to what was told: all of it is there, once, and nothing
// else, since every request that the log knows of was answered in the end.
func (l logged) compare(t *testing.T, told promised) {
	t.Helper()
	t.Logf("%d people, %d documents, %d consents, %d accesses", len(l.registered), len(l.issued), len(l.granted), len(l.attempts))
	if len(told.documents) == 0 || len(told.consents) == 0 || len(told.disclosed) == 0 || len(told.refused) == 0 {
		t.Fatal("the clients did too little")
	}
	if l.lateUses > 0 {
		t.Errorf("%d accesses were authorised after the withdrawal of their consent", l.lateUses)
	}
	if l.outOfTurn > 0 || l.repeated > 0 {
		t.Errorf("%d attempts out of turn, %d event ids twice", l.outOfTurn, l.repeated)
	}
	for id, n := range l.registered {
		if n != 1 {
			t.Errorf("citizen %s is registered %d times", id, n)
		}
	}
	if got, want := len(l.registered), len(told.holders()); got != want {
		t.Errorf("%d people are registered, want %d", got, want)
	}
	for id, p := range told.documents {
		revoked := 0
		if p.revoked {
			revoked = 1
		}
		if l.issued[id] != 1 || l.updated[id] != p.version-1 || l.revoked[id] != revoked {
			t.Errorf("document %s: issued %d, updated %d, revoked %d times; its issuer was told of version %d, revoked %t",
				id, l.issued[id], l.updated[id], l.revoked[id], p.version, p.revoked)
		}
	}
	if got, want := len(l.issued), len(told.documents); got != want {
		t.Errorf("%d documents, want %d", got, want)
	}
	for id, p := range told.consents {
		withdrawn := 0
		if p.withdrawn {
			withdrawn = 1
		}
		if l.granted[id] != 1 || l.withdrawn[id] != withdrawn {
			t.Errorf("consent %s: granted %d, withdrawn %d times; the citizen was told it is withdrawn: %t", id, l.granted[id], l.withdrawn[id], p.withdrawn)
		}
	}
	if got, want := len(l.granted), len(told.consents); got != want {
		t.Errorf("%d consents, want %d", got, want)
	}
	for id, under := range told.disclosed {
		if l.under[id] != under {
			t.Errorf("access %s was disclosed and is not on record", id)
		}
	}
	// One that was authorised before a kill may have been refused when it was repeated.
	withheld := map[domain.ConsentID]int{}
	for id, under := range l.under {
		if _, disclosed := told.disclosed[id]; !disclosed {
			withheld[under]++
		}
	}
	for id, n := range withheld {
		if n > told.refused[id] {
			t.Errorf("consent %s: %d accesses are on record without an answer, of which %d were refused", id, n, told.refused[id])
		}
	}
}

// shown is every wallet and the whole consent log, as they are answered, each
// compared with what was told.
func (d *drill) shown(t *testing.T, r *rig) []string {
	t.Helper()
	var all []string
	documents := 0
	for _, person := range d.told.holders() {
		id := r.citizen(t, bench.SSIN(person).Reveal())
		var w contract.Wallet
		all = append(all, r.read(t, drillCitizen(person), httptest.NewRequest(http.MethodGet, contract.Base+"/citizens/"+id.String()+"/wallet", nil), &w))
		documents += len(w.Items)
		for _, item := range w.Items {
			p := d.told.documents[item.DocumentID]
			if p.person != person || p.version != item.Version || p.revoked != (item.State == contract.DocumentStateRevoked) {
				t.Errorf("the wallet shows document %s as version %d, %s", item.DocumentID, item.Version, item.State)
			}
		}
	}
	if documents != len(d.told.documents) {
		t.Errorf("the wallets hold %d documents, want %d", documents, len(d.told.documents))
	}
	decided := map[contract.ConsentDecision]map[domain.ConsentID]bool{}
	for after := ""; ; {
		var page contract.ConsentLog
		ask := httptest.NewRequest(http.MethodPost, contract.Base+"/consentLog/query?pageSize=100"+after, strings.NewReader("{}"))
		ask.Header.Set("Content-Type", "application/json")
		answer := r.read(t, token.Grant{Role: domain.RolePrivacyOfficer, Subject: "drill"}, ask, &page)
		all = append(all, ofThen.ReplaceAllString(answer, ""))
		for _, item := range page.Items {
			if decided[item.Decision] == nil {
				decided[item.Decision] = map[domain.ConsentID]bool{}
			}
			decided[item.Decision][item.ConsentID] = true
		}
		if page.Next == "" {
			break
		}
		after = "&after=" + page.NextCursor
	}
	for id, p := range d.told.consents {
		if !decided[contract.ConsentDecisionGranted][id] || decided[contract.ConsentDecisionWithdrawn][id] != p.withdrawn {
			t.Errorf("the consent log does not tell of consent %s what the citizen was told", id)
		}
	}
	return all
}

// read asks and returns the answer as it came.
func (r *rig) read(t *testing.T, g token.Grant, ask *http.Request, into any) string {
	t.Helper()
	w := r.ask(ask, r.bearer(t, g))
	if w.Code != http.StatusOK {
		t.Fatalf("%s was answered %d: %s", ask.URL.Path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatal(err)
	}
	return w.Body.String()
}

// ofThen are the members of a page of the consent log that say when it was asked for: the moment
// of its states, and links whose cursors hold it.
var ofThen = regexp.MustCompile(`,?"(stateAt|next|nextCursor|self)":"[^"]*"`)
