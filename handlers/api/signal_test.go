package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// signals returns everything that a caller hears, page by page, and the cursor behind it.
func (tv *testVault) signals(t testing.TB, as edge.Caller, p contract.ListSignalsParams) (all []contract.Signal, end contract.Cursor) {
	t.Helper()
	tv.waitForReadModels(t)
	p.PageSize = 3
	for {
		answer, err := tv.ListSignals(tv.as(t, as, "listSignals", nil), contract.ListSignalsRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.ListSignals200JSONResponse)
		if page.NextCursor == p.After {
			return append(all, page.Items...), p.After
		}
		all, p.After = append(all, page.Items...), page.NextCursor
	}
}

// kinds returns the last words of the types of signals.
func kinds(all []contract.Signal) (words []string) {
	for _, s := range all {
		words = append(words, s.Type[len(SignalService)+1:])
	}
	return words
}

// change appends a change of a document without going through the use case.
func (tv *testVault) changeDirectly(t testing.TB, id domain.DocumentID, c eventstore.Command[document.State, document.Event]) {
	t.Helper()
	if _, err := acting.Documents.TransactReserved(t.Context(), tv.Log, eventstore.Write{Stream: acting.DocumentStream(id)}, c); err != nil {
		t.Fatal(err)
	}
}

// a consumer hears within one look that a document it once read was suspended or revoked,
// and of its consents; the source hears what is contested; who never read hears nothing. A cursor
// goes on from where it ended, in no other list, and a type that no event has is refused.
func TestA12WhoHearsWhat(t *testing.T) {
	tv := newVault(t)
	home, who := tv.household(t, 1), tv.person(t, 1)
	source := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
	given := tv.consentTo(t, who, contract.ConsentGrant{})
	if _, err := tv.read(t, consumer(flanders), home, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: &given}); err != nil {
		t.Fatal(err)
	}
	_, begin := tv.signals(t, consumer(flanders), contract.ListSignalsParams{})
	tv.changeDirectly(t, home, document.Suspend{Expected: document.Expectation{Any: true}, Reason: "underReview", By: source, At: tv.Clock.Now()})
	contests, err := tv.petition(t, who, contract.PetitionMake{DocumentID: &home, Text: wrong})
	if err != nil {
		t.Fatal(err)
	}
	tv.revokeDirectly(t, homeAffairs, home)

	heard, end := tv.signals(t, consumer(flanders), contract.ListSignalsParams{After: begin})
	if got := kinds(heard); !slices.Equal(got, []string{"documents.notify.suspended", "documents.notify.revoked"}) {
		t.Fatalf("the consumer hears %v", got)
	}
	revoked := heard[1]
	if revoked.Data != (contract.SignalData{DocumentID: home, Version: 1, Change: 3, State: "revoked"}) || revoked.Specversion != "1.0" || revoked.Service != SignalService || revoked.ID == uuid.Nil {
		t.Errorf("%+v", revoked)
	}
	if again, _ := tv.signals(t, consumer(flanders), contract.ListSignalsParams{After: begin}); len(again) != 2 || again[1].ID != revoked.ID {
		t.Errorf("asked again: %+v", again)
	}
	if none, still := tv.signals(t, consumer(flanders), contract.ListSignalsParams{After: end}); len(none) != 0 || still != end {
		t.Errorf("behind the end: %+v", none)
	}
	sources, _ := tv.signals(t, issuer(homeAffairs), contract.ListSignalsParams{Type: []contract.SignalType{typeOfSignal("petitions.notify.made")}})
	if len(sources) != 1 || sources[0].Data != (contract.SignalData{PetitionID: contests.PetitionID, DocumentID: home}) {
		t.Errorf("the source hears %+v", sources)
	}
	for _, stranger := range []edge.Caller{consumer(railways), issuer(flanders), consumer(homeAffairs)} {
		heard, _ := tv.signals(t, stranger, contract.ListSignalsParams{})
		heard = slices.DeleteFunc(heard, func(s contract.Signal) bool {
			return s.Data.PetitionID == contests.PetitionID && stranger.Organisation == homeAffairs
		})
		if len(heard) != 0 {
			t.Errorf("%s %s hears %v", stranger.Role, stranger.Organisation, kinds(heard))
		}
	}
	if err := tv.withdraw(t, who, given); err != nil {
		t.Fatal(err)
	}
	if heard, _ = tv.signals(t, consumer(flanders), contract.ListSignalsParams{}); !slices.Equal(kinds(heard), []string{"consents.notify.granted", "consents.notify.withdrawn"}) {
		t.Errorf("after the withdrawal: %v", kinds(heard))
	}
	for name, p := range map[string]contract.ListSignalsParams{
		"a type that no event has": {Type: []contract.SignalType{"be.coffre.vault.v1.documents.notify.read"}},
		"no type of document":      {DocumentType: []contract.DocumentTypeCode{"canary"}},
		"a cursor of another list": {After: tv.Cursor(contract.Base+"/petitions", 1)},
	} {
		if _, err := tv.ListSignals(tv.as(t, consumer(flanders), "listSignals", nil), contract.ListSignalsRequestObject{Params: p}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// heardOf is what a test believes about one person whose document a consumer may have read.
type heardOf struct {
	n          int
	who        domain.CitizenID
	home       domain.DocumentID
	consents   map[domain.ConsentID]time.Time // that stand, by when they were given
	readUnder  map[domain.ConsentID]bool
	readByLaw  bool
	restricted *contract.Restriction
	since      time.Time // of the restriction
	changes    int       // of the document that the consumer is to hear of
	suspended  bool
}

// mayHear is rule A-12, said anew.
func (h *heardOf) mayHear(standing citizen.Standing) bool {
	if standing != citizen.Living {
		return false
	}
	if h.readByLaw && h.restricted == nil {
		return true
	}
	for id, at := range h.consents {
		if h.readUnder[id] && (h.restricted == nil || h.since.Before(at)) {
			return true
		}
	}
	return false
}

// A-12, whatever the order of readings, consents, withdrawals, restrictions, changes and erasures:
// the consumer hears of every change since it read while a basis stands, and of none while none
// does; another organisation, with a consent that it never used, hears of no document.
func TestA12NobodyHearsWithoutABasis(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 58))
			tv := newVault(t)
			source := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
			all := []*heardOf{}
			for n := 1; n <= 2; n++ {
				h := &heardOf{n: n, home: tv.household(t, n), consents: map[domain.ConsentID]time.Time{}, readUnder: map[domain.ConsentID]bool{}}
				h.who = tv.person(t, n)
				all = append(all, h)
			}
			for step := range 40 {
				h := all[random.IntN(len(all))]
				tv.Clock.Advance(time.Minute)
				standing := tv.standingOf(t, h.who)
				var some *domain.ConsentID
				for id := range h.consents {
					if some == nil || id.String() < some.String() == (random.IntN(2) == 0) {
						some = &id
					}
				}
				act := random.IntN(12)
				switch {
				case standing != citizen.Living:
				case act < 2:
					h.consents[tv.consentTo(t, h.who, contract.ConsentGrant{})] = tv.Clock.Now()
				case act < 4 && some != nil:
					if _, err := tv.read(t, consumer(flanders), h.home, uuid.New(), contract.AccessRequest{Purpose: "schoolAllowance", ConsentID: some}); err == nil {
						h.readUnder[*some] = true
					}
				case act == 4:
					if _, err := tv.read(t, consumer(flanders), h.home, uuid.New(), allowance); err == nil {
						h.readByLaw = true
					}
				case act == 5 && some != nil:
					if err := tv.withdraw(t, h.who, *some); err != nil {
						t.Fatal(err)
					}
					delete(h.consents, *some)
				case act == 6 && h.restricted == nil:
					r, err := tv.restrict(t, citizenCaller(h.who), h.who, contested)
					if err != nil {
						t.Fatal(err)
					}
					h.restricted, h.since = &r, tv.Clock.Now()
				case act == 7 && h.restricted != nil:
					if err := tv.liftRestriction(t, citizenCaller(h.who), h.who, h.restricted.RestrictionID, ""); err != nil {
						t.Fatal(err)
					}
					h.restricted = nil
				case act < 11:
					expected := document.Expectation{Any: true}
					if h.suspended {
						tv.changeDirectly(t, h.home, document.Reinstate{Expected: expected, Reason: "reviewed", By: source, At: tv.Clock.Now()})
					} else {
						tv.changeDirectly(t, h.home, document.Suspend{Expected: expected, Reason: "underReview", By: source, At: tv.Clock.Now()})
					}
					h.suspended = !h.suspended
					if h.readByLaw || len(h.readUnder) > 0 {
						h.changes++
					}
				case step > 25:
					if id, err := tv.requestErasureOf(t, citizenCaller(h.who), h.who, domain.DocumentID{}); err == nil {
						_ = tv.approve(t, officer, id) // a restriction or a duty to keep may stand in its way
					}
				}
				tv.waitIdle(t)
				heard, _ := tv.signals(t, consumer(flanders), contract.ListSignalsParams{})
				for _, h := range all {
					standing, got, want := tv.standingOf(t, h.who), 0, 0
					for _, s := range heard {
						if s.Data.DocumentID == h.home {
							got++
						}
					}
					if h.mayHear(standing) {
						want = h.changes
					}
					if got != want {
						t.Fatalf("step %d, act %d: of person %d, %s, the consumer hears %d of %d: %+v", step, act, h.n, standing, got, want, h)
					}
				}
				if others, _ := tv.signals(t, consumer(railways), contract.ListSignalsParams{}); len(others) != 0 {
					t.Fatalf("step %d: another organisation hears %v", step, kinds(others))
				}
			}
		})
	}
}
