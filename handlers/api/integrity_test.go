package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
)

// rewrite lets the store read an event of type E with other clear facts, as if somebody had
// written them into the database with a checksum that fits, and starts a new process, which
// remembers nothing.
func rewrite[E any](t testing.TB, tv *testVault, change func(*E)) {
	t.Helper()
	tv.waitIdle(t)
	tv.Store.SetChange(func(r *eventstore.Record) bool {
		fact, err := codec.Catalog.Decode(r.Type, r.Clear, nil)
		if err != nil {
			t.Error(err)
			return true
		}
		if e, ok := fact.(E); ok {
			change(&e)
			if r.Clear, err = json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	newProcess(tv)
}

// newProcess starts the vault again with nothing folded in memory.
func newProcess(tv *testVault) {
	tv.restart(func(s *settings) {
		s.Log = eventstore.NewLog(eventstore.Options{Store: tv.Store, Codec: codec.Catalog, Sealer: seal.Sealer{Ring: s.Keys}, Now: tv.Clock.Now})
	})
}

// Who can write to the database gives no consumer a consent that the citizen did not give:
// terms that are not those that were agreed to disclose nothing, and no use is recorded.
func TestAConsentWithOtherTermsDisclosesNothing(t *testing.T) {
	for name, change := range map[string]func(*consent.Granted){
		"consumer": func(g *consent.Granted) {
			g.Terms.Consumer, g.Terms.Purpose, g.Terms.Types = flanders, "schoolAllowance", []domain.DocumentType{"householdComposition"}
		},
		"types":   func(g *consent.Granted) { g.Terms.Types = []domain.DocumentType{"householdComposition"} },
		"fields":  func(g *consent.Granted) { g.Terms.Fields = nil },
		"uses":    func(g *consent.Granted) { g.Terms.Limits.Uses = 5 },
		"citizen": func(g *consent.Granted) {},
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			id, who := tv.household(t, 1), tv.person(t, 1)
			given := contract.ConsentGrant{Fields: []contract.FieldName{"householdSize"}, Limits: contract.ConsentLimits{Uses: 2}}
			switch name { // what was agreed to does not allow what is asked
			case "consumer":
				given = contract.ConsentGrant{Consumer: railways, Purpose: "ageVerification", DocumentTypes: []contract.DocumentTypeCode{"isiPlusCard"}}
			case "types":
				given.DocumentTypes = []contract.DocumentTypeCode{"isiPlusCard"}
				given.Fields = nil
			case "citizen":
				tv.household(t, 2)
				who = tv.person(t, 2)
			}
			c := tv.consentTo(t, who, given)
			body := contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}
			whose := tv.person(t, 1)
			whole := change
			if name == "citizen" {
				whole = func(g *consent.Granted) { g.Citizen = whose }
			}
			rewrite(t, tv, func(g *consent.Granted) {
				if g.Consent == c {
					whole(g)
				}
			})
			if got, err := tv.read(t, consumer(flanders), id, uuid.New(), body); slugOf(err) != "integrityViolated" || got.Content != nil {
				t.Errorf("%+v, %v", got, err)
			}
			if n := len(recorded[access.Authorized](t, tv)); n != 0 {
				t.Errorf("%d accesses on record", n)
			}
			if _, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); err != nil {
				t.Errorf("the same document by law: %v", err)
			}
			tv.Store.SetChange(nil) // restored, and this process still believes what it folded
			if got, err := tv.read(t, consumer(flanders), id, uuid.New(), body); slugOf(err) != "integrityViolated" || got.Content != nil {
				t.Errorf("folded before it was restored: %+v, %v", got, err)
			}
			newProcess(tv)
			if _, err := tv.read(t, consumer(flanders), id, uuid.New(), body); slugOf(err) == "integrityViolated" {
				t.Errorf("after it was restored: %v", err)
			}
		})
	}
}

// A grant whose personal part was taken away proves nothing.
func TestAConsentWithoutItsPersonalPartDisclosesNothing(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	c := tv.consentTo(t, tv.person(t, 1), contract.ConsentGrant{})
	tv.waitIdle(t)
	tv.Store.SetChange(func(r *eventstore.Record) bool {
		if r.Type == "consent.granted/2" {
			r.Sealed = nil
		}
		return true
	})
	newProcess(tv)
	if _, err := tv.read(t, consumer(flanders), id, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &c}); slugOf(err) != "integrityViolated" {
		t.Error(err)
	}
}

// Nor gives a changed mandate its representative anything.
func TestAMandateWithOtherFactsShowsNothing(t *testing.T) {
	for name, change := range map[string]func(*mandate.Granted){
		"scope": func(g *mandate.Granted) { g.Scope.Actions = append(g.Scope.Actions, "more") },
		"kind":  func(g *mandate.Granted) { g.Kind = mandate.Representation },
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			card := tv.childCard(t, child(1), 2)
			rewrite(t, tv, change)
			if _, err := tv.show(t, citizenCaller(tv.person(t, 2)), card); slugOf(err) != "integrityViolated" {
				t.Errorf("the representative: %v", err)
			}
			if d, err := tv.show(t, citizenCaller(tv.person(t, child(1))), card); err != nil || d.Content == nil {
				t.Errorf("the subject: %v", err)
			}
		})
	}
}

// The facts of a document are those that its content was sealed beside: changed, neither
// its subject nor its issuer nor a consumer sees the content, and other documents go on.
func TestADocumentWithOtherFactsIsNotShown(t *testing.T) {
	for name, change := range map[string]func(*document.Issued){
		"validFrom":  func(f *document.Issued) { f.ValidFrom = "2020-01-01" },
		"validUntil": func(f *document.Issued) { f.ValidUntil = "2039-01-01" },
		"tag":        func(f *document.Issued) { f.Tag[0]++ },
		"at":         func(f *document.Issued) { f.At = f.At.Add(-1000) },
	} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			id, other := tv.household(t, 1), tv.household(t, 2)
			rewrite(t, tv, func(f *document.Issued) {
				if f.Document == id {
					change(f)
				}
			})
			if _, err := tv.show(t, citizenCaller(tv.person(t, 1)), id); slugOf(err) != "integrityViolated" {
				t.Errorf("its subject: %v", err)
			}
			if _, err := tv.show(t, issuer(homeAffairs), id); slugOf(err) != "integrityViolated" {
				t.Errorf("its issuer: %v", err)
			}
			if _, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); slugOf(err) != "integrityViolated" {
				t.Errorf("a consumer: %v", err)
			}
			if _, err := tv.read(t, consumer(flanders), other, uuid.New(), allowance); err != nil {
				t.Errorf("another document: %v", err)
			}
		})
	}
}

// Which version applies is told by all of them: one changed update withholds every version
// from a consumer.
func TestAnUpdateWithOtherFactsChoosesNoOtherVersion(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	_, err := tv.update(t, homeAffairs, id, `"1"`, strings.Replace(household, `"householdSize":4`, `"householdSize":5`, 1))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, tv, func(f *document.Updated) { f.EffectiveFrom = "2030-01-01" }) // so that version 1 applied again
	if got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance); slugOf(err) != "integrityViolated" || got.Content != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
