package term_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/domaintest"
	"coffre/domain/petition"
	. "coffre/domain/term"
)

var (
	ana   = domain.CitizenID{UUID: uuid.UUID{1}}
	card  = domain.DocumentID{UUID: uuid.UUID{2}}
	deal  = domain.ConsentID{UUID: uuid.UUID{3}}
	wrong = domain.PetitionID{UUID: uuid.UUID{4}}
	org   = domain.Organisation("0308356862")

	issued = document.Issued{Document: card, Citizen: ana, Type: "isiPlusCard", Issuer: org, ValidFrom: "2026-01-01", ValidUntil: "2026-12-31", At: at("2026-01-02T12:00:00Z")}
	given  = consent.Granted{Consent: deal, Citizen: ana, Terms: consent.Terms{Consumer: org, Purpose: "pension", Until: at("2026-03-28T23:00:00Z")}, At: at("2026-01-02T12:00:00Z")}
	asked  = petition.Requested{Petition: wrong, Citizen: ana, Kind: petition.Objection, Organisation: org, Deadline: "2026-10-24", At: at("2026-09-24T12:00:00Z")}
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func with[T any](v T, f func(*T)) T { f(&v); return v }

// ofDocument is the term of a document with this history; the zero term where none runs.
func ofDocument(history ...document.Event) Term {
	var s document.State
	for _, e := range history {
		s = document.Evolve(s, e)
	}
	t, ok := OfDocument(s)
	return only(t, ok)
}

func ofConsent(history ...consent.Event) Term {
	var s consent.State
	for _, e := range history {
		s = consent.Evolve(s, e)
	}
	return only(OfConsent(s))
}

func ofPetition(history ...petition.Event) Term {
	var s petition.State
	for _, e := range history {
		s = petition.Evolve(s, e)
	}
	return only(OfPetition(s))
}

func only(t Term, ok bool) Term {
	if !ok {
		return Term{}
	}
	return t
}

func announce(t Term, moment string) Announce {
	return Announce{Term: t, Standing: citizen.Living, At: at(moment)}
}

// told is the announcement of a step of the card's end.
func told(step int, moment string) Announced {
	return Announced{Kind: Document, Citizen: ana, Document: card, Type: "isiPlusCard", Organisation: org, Ends: "2026-12-31", Before: step, At: at(moment)}
}

func TestRules(t *testing.T) {
	running := ofDocument(issued)
	agreed, ended := ofConsent(given), Announced{Kind: Consent, Citizen: ana, Consent: deal, Organisation: org, Purpose: "pension", Ends: "2026-03-28", At: at("2026-03-28T23:00:00Z")}
	open, late := ofPetition(asked), Announced{Kind: Petition, Citizen: ana, Petition: wrong, Organisation: org, Ends: "2026-10-24", At: at("2026-10-24T22:00:00Z")}
	longer := ofPetition(asked, petition.Extended{Petition: wrong, Citizen: ana, Organisation: org, Deadline: "2026-12-24", At: at("2026-10-20T12:00:00Z")})
	leap := ofDocument(with(issued, func(e *document.Issued) { e.ValidUntil = "2028-02-29" }))
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "N-1 90 days before a document ends, from midnight in Belgium", When: announce(running, "2026-10-01T22:00:00Z"), Then: []Event{told(90, "2026-10-01T22:00:00Z")}},
		{Name: "N-1 not a moment before", When: announce(running, "2026-10-01T21:59:59.999999Z")},
		{Name: "N-1 30 days before, in winter time", Given: []Event{told(90, "2026-10-01T22:00:00Z")}, When: announce(running, "2026-11-30T23:00:00Z"), Then: []Event{told(30, "2026-11-30T23:00:00Z")}},
		{Name: "N-1 on the last day", Given: []Event{told(30, "2026-11-30T23:00:00Z")}, When: announce(running, "2026-12-30T23:00:00Z"), Then: []Event{told(0, "2026-12-30T23:00:00Z")}},
		{Name: "N-1 a consent when it is over, on the day before summer time", When: announce(agreed, "2026-03-28T23:00:00Z"), Then: []Event{ended}},
		{Name: "N-1 not before", When: announce(agreed, "2026-03-28T22:59:59Z")},
		{Name: "N-1 a petition on the day after its deadline, the last of summer time", When: announce(open, "2026-10-24T22:00:00Z"), Then: []Event{late}},
		{Name: "N-1 not on the day itself", When: announce(open, "2026-10-24T21:59:59Z")},
		{Name: "N-1 a petition that takes longer is not announced when its first month is over", When: announce(longer, "2026-10-24T22:00:00Z")},
		{Name: "N-1 but on the day after its new deadline", When: announce(longer, "2026-12-24T23:00:00Z"), Then: []Event{with(late, func(e *Announced) { e.Ends, e.At = "2026-12-24", at("2026-12-24T23:00:00Z") })}},
		{Name: "N-1 30 days before a leap day", When: announce(leap, "2028-01-29T23:00:00Z"), Then: []Event{with(told(30, "2028-01-29T23:00:00Z"), func(e *Announced) { e.Ends = "2028-02-29" })}},
		{Name: "N-2 the same step again says nothing", Given: []Event{told(90, "2026-10-01T22:00:00Z")}, When: announce(running, "2026-10-05T12:00:00Z")},
		{Name: "N-2 a clock that was set back says nothing again", Given: []Event{told(30, "2026-11-30T23:00:00Z")}, When: announce(running, "2026-10-05T12:00:00Z")},
		{Name: "N-2 after an outage over two steps the nearest one alone", When: announce(running, "2026-12-10T12:00:00Z"), Then: []Event{told(30, "2026-12-10T12:00:00Z")}},
		{Name: "N-2 then the former one never", Given: []Event{told(30, "2026-12-10T12:00:00Z")}, When: announce(running, "2026-12-10T12:01:00Z")},
		{Name: "N-2 late, the end itself", When: announce(running, "2027-01-20T12:00:00Z"), Then: []Event{told(0, "2027-01-20T12:00:00Z")}},
		{Name: "N-2 not what was over for a month", When: announce(running, "2027-01-31T23:00:00Z")},
		{Name: "N-2 nor a consent", When: announce(agreed, "2026-04-28T23:00:00Z")},
		{Name: "N-2 not a step that had passed when the document was issued", When: announce(ofDocument(with(issued, func(e *document.Issued) { e.At = at("2026-12-10T09:00:00Z") })), "2026-12-11T12:00:00Z")},
		{Name: "N-2 another end is announced anew", Given: []Event{told(0, "2026-12-30T23:00:00Z")},
			When: announce(ofDocument(issued, document.Updated{Document: card, Version: 2, ValidFrom: "2026-01-01", ValidUntil: "2027-12-31", At: at("2026-12-31T12:00:00Z")}), "2027-10-03T12:00:00Z"),
			Then: []Event{with(told(90, "2027-10-03T12:00:00Z"), func(e *Announced) { e.Ends = "2027-12-31" })}},
		{Name: "N-3 an update that keeps the dates keeps the term", Given: []Event{told(90, "2026-10-01T22:00:00Z")}, When: announce(ofDocument(issued, document.Updated{Document: card, Version: 2, EffectiveFrom: "2026-12-09", At: at("2026-12-09T12:00:00Z")}), "2026-12-10T12:00:00Z"),
			Then: []Event{told(30, "2026-12-10T12:00:00Z")}},
		{Name: "N-3 not a revoked document", When: announce(ofDocument(issued, document.Revoked{Document: card, Reason: "lost", EffectiveFrom: "2026-12-20", At: at("2026-06-01T12:00:00Z")}), "2026-12-10T12:00:00Z")},
		{Name: "N-3 not an erased one", When: announce(ofDocument(issued, document.ContentDestroyed{Document: card}), "2026-12-10T12:00:00Z")},
		{Name: "N-3 not one without an end", When: announce(ofDocument(with(issued, func(e *document.Issued) { e.ValidUntil = "" })), "2026-12-10T12:00:00Z")},
		{Name: "N-3 not one whose dates are personal", When: announce(ofDocument(with(issued, func(e *document.Issued) { e.PersonalValidity, e.ValidFrom, e.ValidUntil = true, "", "" })), "2026-12-10T12:00:00Z")},
		{Name: "N-3 not a withdrawn consent", When: announce(ofConsent(given, consent.Withdrawn{Consent: deal, Reason: "citizen"}), "2026-03-29T12:00:00Z")},
		{Name: "N-3 not one that was renewed", When: announce(ofConsent(given, consent.Withdrawn{Consent: deal, Reason: "renewed"}), "2026-03-29T12:00:00Z")},
		{Name: "N-3 not a request", When: announce(ofConsent(consent.Requested{Consent: deal, Citizen: ana, Terms: given.Terms}), "2026-03-29T12:00:00Z")},
		{Name: "N-3 not an answered petition", When: announce(ofPetition(asked, petition.Answered{Petition: wrong, Outcome: petition.Upheld, At: asked.At}), "2026-10-25T12:00:00Z")},
		{Name: "N-3 not to somebody who died", When: with(announce(running, "2026-12-10T12:00:00Z"), func(c *Announce) { c.Standing = citizen.Dead })},
		{Name: "N-3 not to somebody who is being erased", When: with(announce(running, "2026-12-10T12:00:00Z"), func(c *Announce) { c.Standing = citizen.Erasing })},
		{Name: "N-3 not to somebody who was erased", When: with(announce(running, "2026-12-10T12:00:00Z"), func(c *Announce) { c.Standing = citizen.Erased })},
		{Name: "N-3 not to nobody", When: with(announce(running, "2026-12-10T12:00:00Z"), func(c *Announce) { c.Standing = "" })},
	})
}

func TestStatesAreImmutable(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		return told(rapid.SampledFrom([]int{90, 30, 0}).Draw(t, "step"), "2026-12-10T12:00:00Z")
	})
}

// Whenever and in whatever order a clock looks, that jumps as it likes, each step of an end is
// announced once, none before its day, and none after a nearer one.
func TestN2OnceWheneverTheClockLooks(t *testing.T) {
	running := ofDocument(issued)
	rapid.Check(t, func(t *rapid.T) {
		var s State
		ids := map[uuid.UUID]bool{}
		last := 1000
		for _, hours := range rapid.SliceOfN(rapid.IntRange(-24, 24*450), 1, 60).Draw(t, "looks") {
			now := issued.At.Add(time.Duration(hours) * time.Hour)
			events, err := Announce{Term: running, Standing: citizen.Living, At: now}.Decide(s)
			if err != nil || len(events) > 1 {
				t.Fatal(events, err)
			}
			for _, e := range events {
				one := e.(Announced)
				id := running.ID(one.Before)
				if ids[id] || one.Before >= last || domain.BelgianDate(now).DaysUntil("2026-12-31") > one.Before {
					t.Fatalf("%+v after step %d", one, last)
				}
				ids[id], last = true, one.Before
				s = Evolve(s, e)
			}
		}
	})
}

// The next step falls due at the moment from which it is announced, and there is none after the last.
func TestNextIsWhenAStepIsReached(t *testing.T) {
	for _, one := range []Term{ofDocument(issued), ofConsent(given), ofPetition(asked)} {
		for former := -1; ; {
			due, ok := one.Next(former)
			if !ok {
				break
			}
			step, reached := one.Reached(due)
			if before, early := one.Reached(due.Add(-time.Microsecond)); !reached || early && before == step {
				t.Errorf("%s: due %v, reached %v %d, before %v %d", one.Kind, due, reached, step, early, before)
			}
			if former >= 0 && step >= former {
				t.Fatalf("%s: %d follows %d", one.Kind, step, former)
			}
			former = step
		}
	}
}

// N-3: a document whose dates are personal has no term either where they were opened.
func TestN3OpenedDatesAreNotAnnounced(t *testing.T) {
	s := document.Evolve(document.State{}, with(issued, func(e *document.Issued) { e.PersonalValidity, e.ValidFrom, e.ValidUntil = true, "", "" }))
	s = s.Open(map[int]document.Dates{1: {ValidFrom: "2026-01-01", ValidUntil: "2026-12-31"}})
	if _, until, ok := s.Validity(1); !ok || until != "2026-12-31" {
		t.Fatal("the dates were not opened, so this test shows nothing")
	}
	if one, ok := OfDocument(s); ok {
		t.Errorf("%+v", one)
	}
}
