package mandate_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/domaintest"
	. "coffre/domain/mandate"
	"coffre/domain/registry"
)

var (
	child   = domain.CitizenID{UUID: uuid.UUID{1}}
	mother  = domain.CitizenID{UUID: uuid.UUID{2}}
	father  = domain.CitizenID{UUID: uuid.UUID{3}}
	first   = domain.MandateID{UUID: uuid.UUID{4}}
	other   = domain.MandateID{UUID: uuid.UUID{5}}
	org     = domain.Organisation("0206731645")
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	source  = domain.Actor{Role: domain.RoleIssuer, Organisation: org}
	rival   = domain.Actor{Role: domain.RoleIssuer, Organisation: "0671516647"}
	system  = domain.Actor{Role: domain.RoleSystem}
	asChild = domain.Actor{Role: domain.RoleCitizen, Citizen: child}
	asMum   = domain.Actor{Role: domain.RoleCitizen, Citizen: mother}
	asDad   = domain.Actor{Role: domain.RoleCitizen, Citizen: father}

	parent = Grant{Mandate: first, Citizen: child, Representative: mother, Kind: ParentOfMinor, Scope: Scope{Actions: []Action{Read}},
		Until: "2030-05-01", Sources: []domain.Organisation{org}, CitizenIs: citizen.Living, RepresentativeIs: citizen.Living, By: source, At: noon}
	parentGranted = Granted{Mandate: first, Citizen: child, Representative: mother, Kind: ParentOfMinor, Scope: Scope{Actions: []Action{Read}},
		Source: org, At: noon, Personal: &GrantedPersonal{Until: "2030-05-01"}}
	accepted = Accepted{Mandate: first, At: noon}
	chosen   = Grant{Mandate: first, Citizen: child, Representative: mother, Kind: Representation,
		Scope: Scope{Types: []domain.DocumentType{"diploma"}, Actions: []Action{Read, Consent}}, Until: "2027-01-01", CitizenIs: citizen.Living, RepresentativeIs: citizen.Living, By: asChild, At: noon}
	chosenGranted = Granted{Mandate: first, Citizen: child, Representative: mother, Kind: Representation, Scope: chosen.Scope,
		At: noon, Personal: &GrantedPersonal{Until: "2027-01-01"}}
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

func ended(why domain.ReasonCode) Ended { return Ended{Mandate: first, Reason: why, At: noon} }

func fold(events ...Event) (s State) {
	for _, e := range events {
		s = Evolve(s, e)
	}
	return s
}

func TestRules(t *testing.T) {
	byParent, inForce := []Event{parentGranted, accepted}, []Event{chosenGranted, accepted}
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "M-1.1 a citizen grants", When: chosen, Then: []Event{chosenGranted}},
		{Name: "M-1.1 the same grant again is no error", Given: inForce, When: chosen},
		{Name: "M-1.1 another grant under the same id", Given: inForce, When: with(chosen, func(c *Grant) { c.Scope.Types = nil }), Err: ErrAlreadyGranted},
		{Name: "M-1.1 nobody grants for another", When: with(chosen, func(c *Grant) { c.By = asMum }), Err: ErrMayNotGrant},
		{Name: "M-1.1 an administration grants no representation", When: with(chosen, func(c *Grant) { c.By = source }), Err: ErrMayNotGrant},
		{Name: "M-1.1 an unknown kind", When: with(chosen, func(c *Grant) { c.Kind = "friend" }), Err: ErrMayNotGrant},
		{Name: "M-1.1 nobody represents themselves", When: with(chosen, func(c *Grant) { c.Representative = child }), Err: ErrSelf},
		{Name: "M-1.1 the representative accepts", Given: []Event{chosenGranted}, When: Accept{asMum, noon}, Then: []Event{accepted}},
		{Name: "M-1.1 accepting twice is no error", Given: inForce, When: Accept{asMum, noon}},
		{Name: "M-1.1 nobody else accepts", Given: []Event{chosenGranted}, When: Accept{asDad, noon}, Err: ErrNotFound},
		{Name: "M-1.1 the citizen does not accept", Given: []Event{chosenGranted}, When: Accept{asChild, noon}, Err: ErrNotFound},
		{Name: "M-1.1 nothing to accept", When: Accept{asMum, noon}, Err: ErrNotFound},
		{Name: "M-1.2 a scope has an action", When: with(chosen, func(c *Grant) { c.Scope.Actions = nil }), Err: ErrScope},
		{Name: "M-1.2 a scope has known actions", When: with(chosen, func(c *Grant) { c.Scope.Actions = []Action{"own"} }), Err: ErrScope},
		{Name: "M-1.2 a scope names an action once", When: with(chosen, func(c *Grant) { c.Scope.Actions = []Action{Read, Read} }), Err: ErrScope},
		{Name: "M-1.3 there is an end", When: with(chosen, func(c *Grant) { c.Until = "" }), Err: ErrUntil},
		{Name: "M-1.3 the end lies ahead", When: with(chosen, func(c *Grant) { c.Until = "2026-03-01" }), Err: ErrUntil},
		{Name: "M-1.4 the source says who the parents are, and vouches", When: parent, Then: byParent},
		{Name: "M-1.4 another administration does not say", When: with(parent, func(c *Grant) { c.By = rival }), Err: ErrMayNotGrant},
		{Name: "M-1.4 a parent does not say", When: with(parent, func(c *Grant) { c.By = asMum }), Err: ErrMayNotGrant},
		{Name: "M-1.4 the child does not say", When: with(parent, func(c *Grant) { c.By = asChild }), Err: ErrMayNotGrant},
		{Name: "M-1.4 the child does not end it", Given: byParent, When: End{By: asChild, At: noon}, Err: ErrChildMayNotEnd},
		{Name: "M-1.4 the source's same word again is no error", Given: byParent, When: parent},
		{Name: "M-1.5 another parent gets a mandate of their own", When: with(parent, func(c *Grant) { c.Mandate, c.Representative = other, father }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Mandate, e.Representative = other, father }), Accepted{Mandate: other, At: noon}}},
		{Name: "M-1.5 a parent does not end the other's", Given: byParent, When: End{By: asDad, At: noon}, Err: ErrNotFound},
		{Name: "M-1.6 not on the eighteenth birthday", When: with(parent, func(c *Grant) { c.Until = "2026-03-01" }), Err: ErrNotMinor},
		{Name: "M-1.6 the day before", When: with(parent, func(c *Grant) { c.Until = "2026-03-02" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2026-03-02"} }), accepted}},
		{Name: "M-1.6 a child of today", When: with(parent, func(c *Grant) { c.Until = "2044-03-01" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2044-03-01"} }), accepted}},
		{Name: "M-1.6 no longer than a childhood", When: with(parent, func(c *Grant) { c.Until = "2044-03-02" }), Err: ErrNotMinor},
		{Name: "M-1.6 Coffre records the majority", Given: byParent, When: End{Majority, system, noon}, Then: []Event{ended(Majority)}},
		{Name: "M-1.7 the citizen ends", Given: inForce, When: End{By: asChild, At: noon}, Then: []Event{ended(ByCitizen)}},
		{Name: "M-1.7 the representative ends", Given: inForce, When: End{By: asMum, At: noon}, Then: []Event{ended(ByRepresentative)}},
		{Name: "M-1.7 a parent gives up", Given: byParent, When: End{By: asMum, At: noon}, Then: []Event{ended(ByRepresentative)}},
		{Name: "M-1.7 the source decides", Given: byParent, When: End{Decision, source, noon}, Then: []Event{ended(Decision)}},
		{Name: "M-1.7 the source says why", Given: byParent, When: End{ByCitizen, source, noon}, Err: ErrReason},
		{Name: "M-1.7 another administration finds nothing", Given: byParent, When: End{Decision, rival, noon}, Err: ErrNotFound},
		{Name: "M-1.7 no source ends what a citizen granted", Given: inForce, When: End{Decision, source, noon}, Err: ErrNotFound},
		{Name: "M-1.7 what was not accepted is ended too", Given: []Event{chosenGranted}, When: End{By: asChild, At: noon}, Then: []Event{ended(ByCitizen)}},
		{Name: "M-1.7 ending twice is no error", Given: append(inForce, ended(ByCitizen)), When: End{By: asChild, At: noon}},
		{Name: "M-1.7 a stranger finds nothing to end", Given: inForce, When: End{By: asDad, At: noon}, Err: ErrNotFound},
		{Name: "M-1.7 nothing to end", When: End{By: asChild, At: noon}, Err: ErrNotFound},
		{Name: "M-1.7 ended is not accepted", Given: []Event{chosenGranted, ended(ByCitizen)}, When: Accept{asMum, noon}, Err: ErrEnded},
		{Name: "M-1.7 ended is not granted again", Given: append(inForce, ended(ByCitizen)), When: chosen, Err: ErrEnded},
		{Name: "M-1.8 death ends it", Given: inForce, When: End{Death, system, noon}, Then: []Event{ended(Death)}},
		{Name: "M-1.8 Coffre itself ends for no other reason", Given: inForce, When: End{Decision, system, noon}, Err: ErrReason},
		{Name: "M-1.8 no mandate with the dead", When: with(chosen, func(c *Grant) { c.RepresentativeIs = citizen.Dead }), Err: ErrNotAlive},
		{Name: "M-1.8 no mandate over the erased", When: with(parent, func(c *Grant) { c.CitizenIs = citizen.Erasing }), Err: ErrNotAlive},
	})
}

func TestInForce(t *testing.T) {
	until := &GrantedPersonal{Until: "2027-01-01"}
	for _, tc := range []struct {
		name   string
		state  State
		today  domain.Date
		opened *GrantedPersonal
		want   error
	}{
		{"M-1.1 accepted", fold(chosenGranted, accepted), "2026-12-31", until, nil},
		{"M-1.1 not accepted", fold(chosenGranted), "2026-12-31", until, ErrNotInForce},
		{"M-1.1 none", State{}, "2026-12-31", until, ErrNotInForce},
		{"M-1.3 on its last day it is over", fold(chosenGranted, accepted), "2027-01-01", until, ErrNotInForce},
		{"M-1.7 ended", fold(chosenGranted, accepted, ended(ByCitizen)), "2026-12-31", until, ErrNotInForce},
		{"M-1.7 ended while it was being accepted", fold(chosenGranted, ended(ByCitizen), accepted), "2026-12-31", until, ErrNotInForce},
		{"M-1.9 no key", fold(chosenGranted, accepted), "2026-12-31", nil, ErrUnreadable},
		{"M-1.9 no end", fold(chosenGranted, accepted), "2026-12-31", &GrantedPersonal{}, ErrUnreadable},
	} {
		got, err := tc.state.InForce(tc.today, tc.opened)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if allowed := got.Allows(mother, child, Read) || got.Covers("diploma"); allowed != (tc.want == nil) {
			t.Errorf("%s: allowed = %v", tc.name, allowed)
		}
	}
}

// M-1.2, M-1.5, M-1.6: what a mandate in force allows, to whom, about what.
func TestScope(t *testing.T) {
	f, err := fold(chosenGranted, accepted).InForce("2026-03-01", &GrantedPersonal{Until: "2027-01-01"})
	if err != nil {
		t.Fatal(err)
	}
	diploma, isi := registry.DocumentType{Name: "diploma"}, registry.DocumentType{Name: "isiPlusCard", Holders: registry.Holders{ParentsUntil: 12}}
	var none domain.CitizenID
	if !f.Allows(mother, child, Consent) || f.Allows(father, child, Consent) || f.Allows(mother, father, Consent) || f.Allows(mother, child, "own") || f.Allows(none, none, Read) {
		t.Error("M-1.2 the representative, for the citizen, in scope: nothing else")
	}
	if !f.Covers("diploma") || f.Covers("isiPlusCard") || !f.Holds(diploma, "2026-03-01") || f.Holds(isi, "2026-03-01") {
		t.Error("M-1.2 only the types in scope")
	}
	p, err := fold(parentGranted, accepted).InForce("2026-03-01", parentGranted.Personal) // born 2012-05-01
	if err != nil {
		t.Fatal(err)
	}
	if p.Holds(isi, "2024-05-01") || !p.Holds(isi, "2024-04-30") || p.Holds(diploma, "2024-04-30") || p.Allows(mother, child, Consent) {
		t.Error("M-1.6 parents hold what the registry says, until the age it says")
	}
	p.Scope.Actions = []Action{Consent}
	if p.Holds(isi, "2024-04-30") {
		t.Error("M-1.2 who may not read holds nothing")
	}
}

// Whatever is asked, in whatever order: M-1.7 ended stays ended, M-1.1 nothing is
// in force that was not accepted, decisions repeat, states do not change.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		var past []State
		var texts []string
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			by := rapid.SampledFrom([]domain.Actor{source, rival, system, asChild, asMum, asDad}).Draw(t, "by")
			var cmd domaintest.Command[State, Event]
			switch rapid.IntRange(0, 3).Draw(t, "command") {
			case 0:
				cmd = with(parent, func(c *Grant) { c.By = by })
			case 1:
				cmd = with(chosen, func(c *Grant) { c.By = by })
			case 2:
				cmd = Accept{by, noon}
			case 3:
				cmd = End{rapid.SampledFrom([]domain.ReasonCode{Death, Decision, Majority}).Draw(t, "reason"), by, noon}
			}
			events, err := cmd.Decide(s)
			if again, err2 := cmd.Decide(s); !reflect.DeepEqual(events, again) || (err == nil) != (err2 == nil) {
				t.Fatal("same question, other answer")
			}
			past, texts = append(past, s), append(texts, fmt.Sprintf("%+v", s))
			before := s
			for _, e := range events {
				if before.Ended {
					t.Fatal("M-1.7 something happened after the end")
				}
				s = Evolve(s, e)
			}
			if _, err := s.InForce("2026-03-01", &GrantedPersonal{Until: "2026-03-02"}); (err == nil) != (s.Exists() && s.Accepted && !s.Ended) {
				t.Fatalf("in force: %v in %+v", err, s)
			}
		}
		for i := range past {
			if fmt.Sprintf("%+v", past[i]) != texts[i] {
				t.Fatal("a state changed after it was handed out")
			}
		}
	})
}

// States are shared between goroutines: what follows one never changes it.
func TestImmutable(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		return rapid.SampledFrom([]Event{parentGranted, chosenGranted, accepted, ended(Death)}).Draw(t, "event")
	})
}
