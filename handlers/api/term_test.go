package api

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/term"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/projections/terms"
)

// tick does what the clock does in a look, and returns how many terms were announced.
func (tv *testVault) tick(t testing.TB) (announced int) {
	t.Helper()
	tv.waitForReadModels(t)
	now := tv.Clock.Now()
	due, err := tv.Settings.Terms.Due(t.Context(), terms.Term{}, now.Add(-term.Since), now, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range due {
		told, err := tv.AnnounceTerm(t.Context(), one.Kind, one.Subject)
		if err != nil {
			t.Fatal(err)
		}
		if told {
			announced++
		}
	}
	tv.waitForReadModels(t)
	return announced
}

// announced are the announcements on record, in their order.
func (tv *testVault) announced(t testing.TB) (all []string) {
	t.Helper()
	for _, e := range recorded[term.Announced](t, tv) {
		all = append(all, fmt.Sprintf("%s %s %d", e.Kind, e.Ends, e.Before))
	}
	return all
}

// ending issues a document of the n-th person that ends on a day.
func (tv *testVault) ending(t testing.TB, n int, until domain.Date) domain.DocumentID {
	t.Helper()
	return tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", ValidUntil: until, Content: contract.Content(household)})
}

// N-1, N-2: what ends is announced at each of its steps, once; the consumer hears that its consent
// is over, and who is to answer a petition that it is overdue. No answer of the vault differs by it.
func TestN1TermsAreAnnounced(t *testing.T) {
	tv := newVault(t)
	card, who := tv.ending(t, 1, "2026-10-31"), tv.person(t, 1)
	given := tv.consentTo(t, who, contract.ConsentGrant{Until: new(noon.AddDate(0, 2, 0))})
	if _, err := tv.petition(t, who, contract.PetitionMake{DocumentID: &card, Text: wrong}); err != nil {
		t.Fatal(err)
	}
	_, begin := tv.signals(t, consumer(flanders), contract.ListSignalsParams{})
	_, issuers := tv.signals(t, issuer(homeAffairs), contract.ListSignalsParams{})
	if tv.tick(t) != 0 {
		t.Fatalf("nothing has ended: %v", tv.announced(t))
	}
	days := func(n int) {
		for range n {
			tv.Clock.Advance(24 * time.Hour)
			tv.tick(t)
			tv.tick(t)
		}
	}
	days(65) // signals are kept for 90
	heard, _ := tv.signals(t, consumer(flanders), contract.ListSignalsParams{After: begin})
	if got := kinds(heard); !slices.Equal(got, []string{"consents.notify.ended"}) || heard[0].Data != (contract.SignalData{ConsentID: given}) {
		t.Errorf("the consumer hears %v", got)
	}
	heard, _ = tv.signals(t, issuer(homeAffairs), contract.ListSignalsParams{After: issuers})
	if got := kinds(heard); !slices.Equal(got, []string{"petitions.notify.overdue"}) {
		t.Errorf("the source hears %v", got)
	}
	days(115)
	want := []string{"petition 2026-07-15 0", "document 2026-10-31 90", "consent 2026-08-15 0", "document 2026-10-31 30", "document 2026-10-31 0"}
	if got := tv.announced(t); !slices.Equal(got, want) {
		t.Errorf("announced %q", got)
	}
}

// N-2: a month without a clock, and each is announced once, by one look.
func TestN2AnOutage(t *testing.T) {
	tv := newVault(t)
	for n := range 3 {
		tv.ending(t, n+1, "2026-09-20") // 90 days before: 22 June; 30: 21 August
		tv.consentTo(t, tv.person(t, n+1), contract.ConsentGrant{Until: new(noon.AddDate(0, 2, n))})
	}
	tv.Clock.Advance(70 * 24 * time.Hour)
	if n := tv.tick(t); n != 6 {
		t.Errorf("%d announced: %q", n, tv.announced(t))
	}
	for range 30 {
		tv.Clock.Advance(time.Minute)
		if n := tv.tick(t); n != 0 {
			t.Fatalf("%d more: %q", n, tv.announced(t))
		}
	}
}

// N-3: nothing is announced of what was withdrawn, revoked, given anew or erased, to who died, and
// of dates that are personal.
func TestN3WhatIsNotAnnounced(t *testing.T) {
	tv := newVault(t)
	revoked := tv.ending(t, 1, "2026-10-31")
	who := tv.person(t, 1)
	given := tv.consentTo(t, who, contract.ConsentGrant{Until: new(noon.AddDate(0, 2, 0))})
	tv.revokeDirectly(t, homeAffairs, revoked)
	if err := tv.withdraw(t, who, given); err != nil {
		t.Fatal(err)
	}
	tv.ending(t, 2, "2026-10-31")
	tv.reportDeath(t, 2)
	tv.ending(t, 3, "2026-10-31")
	tv.consentTo(t, tv.person(t, 3), contract.ConsentGrant{Until: new(noon.AddDate(0, 2, 0))})
	forgotten := tv.person(t, 3)
	tv.erase(t, forgotten, domain.DocumentID{})
	tv.childCard(t, child(4), 5)
	one := tv.ending(t, 6, "2026-10-31")
	tv.erase(t, tv.person(t, 6), one)
	tv.waitIdle(t)
	for range 60 {
		tv.Clock.Advance(3 * 24 * time.Hour)
		if tv.tick(t) != 0 {
			t.Fatalf("announced %q", tv.announced(t))
		}
	}
	if tv.standingOf(t, forgotten) != citizen.Erased {
		t.Error("nobody was erased, so this test shows little")
	}
	// The read model being late changes nothing: the streams are asked.
	for kind, id := range map[term.Kind]uuid.UUID{term.Document: revoked.UUID, term.Consent: given.UUID} {
		if told, err := tv.AnnounceTerm(t.Context(), kind, id); told || err != nil {
			t.Errorf("%s: %v %v", kind, told, err)
		}
	}
}

// N-2: two processes at once, and one whose append had an outcome that it did not learn, announce
// a term once.
func TestN2OnceWhoeverAnnounces(t *testing.T) {
	tv := newVault(t)
	card := tv.ending(t, 1, "2026-10-31")
	tv.waitIdle(t)
	tv.Clock.Advance(60 * 24 * time.Hour)
	tv.Store.SetRule(faulty.At(faulty.Append, 1, faulty.Fault{After: errors.New("the process was killed")}))
	if _, err := tv.AnnounceTerm(t.Context(), term.Document, card.UUID); err == nil {
		t.Error("the append was to fail")
	}
	tv.Store.SetRule(nil)
	other := tv.Settings
	other.Log = eventstore.NewLog(eventstore.Options{Store: tv.Store, Codec: codec.Catalog, Sealer: tv.Sealer, Now: tv.Clock.Now})
	beside := other.vault()
	told := make(chan bool, 64)
	for range 60 {
		tv.Clock.Advance(2 * 24 * time.Hour)
		var both sync.WaitGroup
		for _, v := range []*Vault{tv.Vault, beside} {
			both.Go(func() {
				one, err := v.AnnounceTerm(t.Context(), term.Document, card.UUID)
				if err != nil {
					t.Error(err)
				}
				if one {
					told <- true
				}
			})
		}
		both.Wait()
	}
	if got := tv.announced(t); !slices.Equal(got, []string{"document 2026-10-31 90", "document 2026-10-31 30", "document 2026-10-31 0"}) {
		t.Errorf("announced %q", got)
	}
	if len(told) != 2 { // the first one was the killed process's
		t.Errorf("%d say that they announced", len(told))
	}
}

// N-1: a document that is suspended ends as well, and one that is restricted is announced on
// record; that nobody is told of it is for who tells to judge. An investigation has no term.
func TestN1WhatElseEnds(t *testing.T) {
	tv := newVault(t)
	card := tv.ending(t, 1, "2026-10-31")
	tv.changeDirectly(t, card, document.Suspend{Expected: document.Expectation{Any: true}, Reason: "underReview", By: domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}, At: tv.Clock.Now()})
	tv.Clock.Advance(120 * 24 * time.Hour)
	if tv.tick(t) != 1 {
		t.Errorf("announced %q", tv.announced(t))
	}
	for r, err := range tv.Store.ReadStream(t.Context(), acting.TermStream(card.UUID), 0) {
		if err != nil || len(r.Sealed) != 0 || r.Type != "term.announced/1" {
			t.Errorf("%s %d %v", r.Type, len(r.Sealed), err)
		}
	}
}

// H-5: an access under an investigation has no term, and neither has the investigation: while it
// is open and when it ends, what is announced is what were without it.
func TestH5NothingIsAnnouncedOfAnInvestigation(t *testing.T) {
	announced := func(investigated bool) []string {
		tv := newVault(t)
		home := tv.ending(t, 1, "2026-10-31")
		if investigated {
			under, err := tv.openInvestigation(t, consumer(flanders), fraud(tv.Clock.Now().Add(10*24*time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tv.read(t, consumer(flanders), home, uuid.New(), hidden(under.InvestigationID)); err != nil {
				t.Fatal(err)
			}
		}
		for range 150 {
			tv.Clock.Advance(24 * time.Hour)
			tv.tick(t)
		}
		return tv.announced(t)
	}
	if with, without := announced(true), announced(false); !slices.Equal(with, without) || len(with) != 3 {
		t.Errorf("with it %q, without %q", with, without)
	}
}
