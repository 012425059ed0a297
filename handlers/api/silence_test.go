package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// without a basis the store is asked as often, and as much becomes durable, for
// whoever is named.
func TestWithoutABasisTheWorkIsTheSame(t *testing.T) {
	tv := newVault(t)
	const attempts = 3 // what is recorded in the background may fall into one
	var known [attempts]domain.DocumentID
	for i := range known {
		known[i] = tv.household(t, i+1)
	}
	tv.waitIdle(t)
	other := citizenCaller(domain.CitizenID{UUID: uuid.New()})
	ask := contract.ConsentAsk{Purpose: "familyDiscount", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}, Message: "may we"}
	for name, call := range map[string]func(n int, id domain.DocumentID) error{
		"citizens/get": func(n int, _ domain.DocumentID) error {
			body := contract.CitizenGet{SSIN: ssin(n)}
			_, err := tv.GetCitizen(tv.as(t, consumer(railways), "getCitizen", body), contract.GetCitizenRequestObject{Body: &body})
			return err
		},
		"evidence/query": func(n int, _ domain.DocumentID) error {
			_, err := tv.evidenceOf(t, railways, contract.EvidenceQuery{
				SSIN: ssin(n), Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
				Needs: []contract.EvidenceNeed{{DocumentType: "householdComposition"}},
			})
			return err
		},
		"consents/validate": func(n int, _ domain.DocumentID) error {
			body := contract.ConsentValidation{SSIN: ssin(n), DocumentType: "householdComposition", Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}
			_, err := tv.ValidateConsent(tv.as(t, consumer(railways), "validateConsent", body), contract.ValidateConsentRequestObject{Body: &body})
			return err
		},
		"consentRequests": func(n int, _ domain.DocumentID) error {
			body := ask
			body.SSIN = ssin(n)
			_, err := tv.askAs(t, consumer(railways), body)
			return err
		},
		"documents/{id} of another citizen": func(_ int, id domain.DocumentID) error {
			_, err := tv.show(t, other, id)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var differs string
			for attempt := range attempts { // of others each, who are met for the first time
				differs = ""
				stranger := domain.DocumentID{UUID: uuid.New()}
				for again := range 2 {
					var made [2]map[faulty.Method]int // known or not
					var slugs [2]string
					for i, who := range []struct {
						n  int
						id domain.DocumentID
					}{{attempt + 1, known[attempt]}, {999 - attempt, stranger}} {
						tv.waitIdle(t) // what is recorded of the former call
						counts := tv.countCalls()
						slugs[i] = slugOf(call(who.n, who.id))
						tv.waitIdle(t) // with what is recorded of this one, which may be during the call or after it
						made[i] = counts()
					}
					if slugs[0] != slugs[1] {
						t.Fatalf("known %q, unknown %q", slugs[0], slugs[1])
					}
					if !maps.Equal(made[0], made[1]) {
						differs += fmt.Sprintf("time %d: known %v, unknown %v\n", again+1, made[0], made[1])
					}
				}
				if differs == "" {
					return
				}
			}
			t.Error(differs)
		})
	}
}

// whom an organisation names is looked for in the database of keys, also somebody who
// is remembered in memory, so that while it is away nobody's answer differs.
func TestWhoeverIsNamedIsLookedFor(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	if _, err := tv.Keys.Resolve(t.Context(), ssin(1).SSIN); err != nil { // remembered
		t.Fatal(err)
	}
	if err := tv.KeysDB.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.Keys.Resolve(t.Context(), ssin(1).SSIN); err != nil {
		t.Fatalf("nobody is remembered, which this test needs: %v", err)
	}
	for _, n := range []int{1, 999} {
		if _, err := tv.Resolve(t.Context(), &edge.Call{}, ssin(n), nil); !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// countCalls counts the calls that reach the store, but for those of the read models, until
// what it returns is called.
func (tv *testVault) countCalls() func() map[faulty.Method]int {
	var mu sync.Mutex
	counts := make(map[faulty.Method]int)
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		mu.Lock()
		defer mu.Unlock()
		if c.Method == faulty.Append || c.Method == faulty.ReadStream {
			counts[c.Method]++
		}
		return faulty.Fault{}
	})
	return func() map[faulty.Method]int {
		tv.Store.SetRule(nil)
		mu.Lock()
		defer mu.Unlock()
		return counts
	}
}

// requests to somebody unknown wait for each other as little as those to a citizen.
func TestConsentRequestsToNobodyRunTogether(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	for _, n := range []int{1, 999} {
		held, release := make(chan struct{}), make(chan struct{})
		var appended atomic.Int64
		tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
			if c.Method == faulty.Append && appended.Add(1) == 1 {
				close(held)
				<-release
			}
			return faulty.Fault{}
		})
		body := contract.ConsentAsk{SSIN: ssin(n), Purpose: "familyDiscount", DocumentTypes: []contract.DocumentTypeCode{"householdComposition"}}
		ask := func(ctx context.Context) error {
			_, err := tv.RequestConsent(ctx, contract.RequestConsentRequestObject{Params: contract.RequestConsentParams{IdempotencyKey: uuid.New()}, Body: &body})
			return err
		}
		first := make(chan error, 1)
		go func() { first <- ask(tv.as(t, consumer(railways), "requestConsent", body)) }()
		<-held
		patient, cancel := context.WithTimeout(edge.WithCall(t.Context(), edge.CallFrom(tv.as(t, consumer(railways), "requestConsent", body))), 20*time.Second)
		if err := ask(patient); err != nil {
			t.Errorf("%d: the second waits for the first: %v", n, err)
		}
		cancel()
		close(release)
		if err := <-first; err != nil {
			t.Errorf("%d: %v", n, err)
		}
		tv.Store.SetRule(nil)
	}
}
