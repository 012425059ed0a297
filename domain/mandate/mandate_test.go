package mandate_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
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
		Until: "2030-05-01", Born: "2012-05-01", Numbered: "2012-05-01", Attestors: []domain.Organisation{org}, CitizenIs: citizen.Living, RepresentativeIs: citizen.Living, By: source, At: noon}
	parentGranted = Granted{Mandate: first, Citizen: child, Representative: mother, Kind: ParentOfMinor, Scope: Scope{Actions: []Action{Read}},
		Source: org, At: noon, Personal: &GrantedPersonal{Until: "2030-05-01", Born: "2012-05-01"}}
	accepted = Accepted{Mandate: first, At: noon}
	court    = Grant{Mandate: first, Citizen: child, Representative: mother, Kind: AppointedByCourt, Scope: Scope{Actions: []Action{Read}},
		Until: "2030-05-01", Attestors: []domain.Organisation{org}, CitizenIs: citizen.Living, RepresentativeIs: citizen.Living, By: source, At: noon}
	byCourt = []Event{Granted{Mandate: first, Citizen: child, Representative: mother, Kind: AppointedByCourt, Scope: Scope{Actions: []Action{Read}},
		Source: org, At: noon, Personal: &GrantedPersonal{Until: "2030-05-01"}}, accepted}
	chosen = Grant{Mandate: first, Citizen: child, Representative: mother, Kind: Representation,
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
		{Name: "M-1.4 another administration does not say", When: with(parent, func(c *Grant) { c.By = rival }), Err: registry.ErrParentageRight},
		{Name: "M-1.4 without a right in the registry nobody says", When: with(parent, func(c *Grant) { c.Attestors = nil }), Err: registry.ErrParentageRight},
		{Name: "M-1.4 who reads does not say", When: with(parent, func(c *Grant) { c.By.Role = domain.RoleConsumer }), Err: registry.ErrParentageRight},
		{Name: "M-1.10 the source says whom a court appointed, and vouches", When: court, Then: byCourt},
		{Name: "M-1.10 another administration does not say whom a court appointed", When: with(court, func(c *Grant) { c.By = rival }), Err: registry.ErrCourtAppointmentRight},
		{Name: "M-1.10 nobody says of themselves that a court appointed somebody", When: with(court, func(c *Grant) { c.By = asChild }), Err: ErrMayNotGrant},
		{Name: "M-1.10 a court's appointment is ended by the source", Given: byCourt, When: End{Decision, source, noon}, Then: []Event{ended(Decision)}},
		{Name: "M-1.10 a court's appointment has no majority", Given: byCourt, When: End{Majority, source, noon}, Err: ErrReason},
		{Name: "M-1.10 who was appointed does not leave", Given: byCourt, When: End{By: asMum, At: noon}, Err: ErrCourtEnds},
		{Name: "M-1.10 who is protected does not end it", Given: byCourt, When: End{By: asChild, At: noon}, Err: ErrCourtEnds},
		{Name: "M-1.11 no parent of who is an adult by the number", When: with(parent, func(c *Grant) { c.Numbered = "1982-05-01" }), Err: ErrNotMinor},
		{Name: "M-1.11 no parent of who is an adult by the source", When: with(parent, func(c *Grant) { c.Born = "1982-05-01" }), Err: ErrNotMinor},
		{Name: "M-1.11 no parent of whose birth nobody knows", When: with(parent, func(c *Grant) { c.Born, c.Numbered = "", "" }), Err: ErrNotMinor},
		{Name: "M-1.11 no parent of who is not born", When: with(parent, func(c *Grant) { c.Numbered = "2026-03-02"; c.Born = "" }), Err: ErrNotMinor},
		{Name: "M-1.11 of two days of birth the earlier, by the number", When: with(parent, func(c *Grant) { c.Numbered = "2012-01-01" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2030-01-01", Born: "2012-01-01"} }), accepted}},
		{Name: "M-1.11 of two numbers the earlier", When: with(parent, func(c *Grant) { c.NumberedToday = "2012-01-01" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2030-01-01", Born: "2012-01-01"} }), accepted}},
		{Name: "M-1.11 of two days of birth the earlier, by the source", When: with(parent, func(c *Grant) { c.Born = "2012-01-01" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2030-01-01", Born: "2012-01-01"} }), accepted}},
		{Name: "M-1.11 never beyond the majority", When: with(parent, func(c *Grant) { c.Until, c.Born = "2040-01-01", "" }), Then: byParent},
		{Name: "M-1.11 a source may end it earlier", When: with(parent, func(c *Grant) { c.Until = "2027-01-01" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2027-01-01", Born: "2012-05-01"} }), accepted}},
		{Name: "M-1.11 Coffre ends what contradicts the number", Given: byParent, When: End{NotMinor, system, noon}, Then: []Event{ended(NotMinor)}},
		{Name: "M-1.11 Coffre ends no representation for an age", Given: inForce, When: End{NotMinor, system, noon}, Err: ErrReason},
		{Name: "M-1.4 a parent does not say", When: with(parent, func(c *Grant) { c.By = asMum }), Err: ErrMayNotGrant},
		{Name: "M-1.4 the child does not say", When: with(parent, func(c *Grant) { c.By = asChild }), Err: ErrMayNotGrant},
		{Name: "M-1.4 the child does not end it", Given: byParent, When: End{By: asChild, At: noon}, Err: ErrChildMayNotEnd},
		{Name: "M-1.4 the source's same word again is no error", Given: byParent, When: parent},
		{Name: "M-1.5 another parent gets a mandate of their own", When: with(parent, func(c *Grant) { c.Mandate, c.Representative = other, father }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Mandate, e.Representative = other, father }), Accepted{Mandate: other, At: noon}}},
		{Name: "M-1.5 a parent does not end the other's", Given: byParent, When: End{By: asDad, At: noon}, Err: ErrNotFound},
		{Name: "M-1.6 not on the eighteenth birthday", When: with(parent, func(c *Grant) { c.Until = "2026-03-01" }), Err: ErrNotMinor},
		{Name: "M-1.6 the day before", When: with(parent, func(c *Grant) { c.Until, c.Born, c.Numbered = "2026-03-02", "2008-03-02", "2008-03-02" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2026-03-02", Born: "2008-03-02"} }), accepted}},
		{Name: "M-1.6 a child of today", When: with(parent, func(c *Grant) { c.Until, c.Born, c.Numbered = "2044-03-01", "2026-03-01", "2026-03-01" }),
			Then: []Event{with(parentGranted, func(e *Granted) { e.Personal = &GrantedPersonal{Until: "2044-03-01", Born: "2026-03-01"} }), accepted}},
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
		{Name: "M-1.8 no mandate over the erased", When: with(parent, func(c *Grant) { c.CitizenIs = citizen.Erasing }), Err: ErrRefused},
		{Name: "M-1.8 a source does not learn of a death", When: with(parent, func(c *Grant) { c.RepresentativeIs = citizen.Dead }), Err: ErrRefused},
		{Name: "M-1.8 a source does not learn of a death that rules out a court's appointment", When: with(parent, func(c *Grant) { c.Kind, c.CitizenIs = AppointedByCourt, citizen.Dead }), Err: ErrRefused},
		{Name: "M-1.11 no parent of who is an adult by the number of today", When: with(parent, func(c *Grant) { c.NumberedToday = "1982-05-01" }), Err: ErrRefused},
	})
}

// words is a registry that gives org its rights.
func words(age int, rights ...registry.Attestation) registry.Registry {
	return registry.Registry{Organisations: []registry.Organisation{{Number: org, Attests: rights}}, Settings: registry.Settings{MinorsDecideFrom: age}}
}

// lawful are circumstances in which a chosen mandate and a parent's hold: the grantor is 40,
// or the child 13.
func lawful(numbered domain.Date, opened *GrantedPersonal) Circumstances {
	return Circumstances{Today: "2026-03-01", Opened: opened, Numbered: numbered, RepresentativeNumbered: "1980-01-01", Registry: words(16, registry.Parentage, registry.CourtAppointment),
		CitizenIs: citizen.Living, RepresentativeIs: citizen.Living}
}

func TestInForce(t *testing.T) {
	adult := lawful("1986-01-01", &GrantedPersonal{Until: "2027-01-01"})
	minor := lawful("2012-05-01", parentGranted.Personal)
	on := func(c Circumstances, today domain.Date) Circumstances { c.Today = today; return c }
	of := func(c Circumstances, change func(*Circumstances)) Circumstances { change(&c); return c }
	chosenState, parentState := fold(chosenGranted, accepted), fold(parentGranted, accepted)
	courtState := fold(byCourt...)
	deciding := fold(with(chosenGranted, func(e *Granted) { e.Scope.Actions = []Action{Consent} }), accepted)
	old := &GrantedPersonal{Until: "2030-05-01"} // from before the day of birth was recorded
	leap := &GrantedPersonal{Until: "2030-03-01"}
	for _, tc := range []struct {
		name  string
		state State
		in    Circumstances
		want  error
	}{
		{"M-1.1 accepted", chosenState, on(adult, "2026-12-31"), nil},
		{"M-1.1 not accepted", fold(chosenGranted), adult, ErrNotInForce},
		{"M-1.1 none", State{}, adult, ErrNotInForce},
		{"M-1.3 on its last day it is over", chosenState, on(adult, "2027-01-01"), Lapsed{Expired}},
		{"M-1.7 ended", fold(chosenGranted, accepted, ended(ByCitizen)), adult, ErrNotInForce},
		{"M-1.7 ended while it was being accepted", fold(chosenGranted, ended(ByCitizen), accepted), adult, ErrNotInForce},
		{"M-1.8 the represented person died", chosenState, of(adult, func(c *Circumstances) { c.CitizenIs = citizen.Dead }), Lapsed{Death}},
		{"M-1.8 the representative died", chosenState, of(adult, func(c *Circumstances) { c.RepresentativeIs = citizen.Dead }), Lapsed{Death}},
		{"M-1.8 nobody is known", chosenState, of(adult, func(c *Circumstances) { c.CitizenIs = "" }), Lapsed{Death}},
		{"M-1.9 no key", chosenState, of(adult, func(c *Circumstances) { c.Opened = nil }), ErrUnreadable},
		{"M-1.9 no end", chosenState, of(adult, func(c *Circumstances) { c.Opened = &GrantedPersonal{} }), ErrUnreadable},
		{"M-1.9 no number", chosenState, of(adult, func(c *Circumstances) { c.Numbered = "" }), ErrUnreadable},
		{"M-1.9 no number of the representative", chosenState, of(adult, func(c *Circumstances) { c.RepresentativeNumbered = "" }), ErrUnreadable},
		{"M-1.12 a representative who does not decide yet may only decide", deciding, of(adult, func(c *Circumstances) { c.RepresentativeNumbered = "2010-03-02" }), Lapsed{RepresentativeMinor}},
		{"M-1.12 a representative who does not decide yet reads", chosenState, of(adult, func(c *Circumstances) { c.RepresentativeNumbered = "2010-03-02" }), nil},
		{"M-1.10 a representation needs no right in the registry", chosenState, of(adult, func(c *Circumstances) { c.Registry = registry.Registry{} }), nil},
		{"M-1.10 a representation by an administration's word", fold(with(chosenGranted, func(e *Granted) { e.Source = org }), accepted), adult, Lapsed{NotAttested}},
		{"M-1.10 a kind of nobody's", fold(with(chosenGranted, func(e *Granted) { e.Kind = "friend" }), accepted), adult, Lapsed{NotAttested}},
		{"M-1.10 a court's appointment, attested", courtState, adult, nil},
		{"M-1.10 a court's appointment, by who has another right", courtState, of(adult, func(c *Circumstances) { c.Registry = words(16, registry.Parentage) }), Lapsed{NotAttested}},
		{"M-1.4 a parent, attested", parentState, minor, nil},
		{"F26 a parent by who has no right", parentState, of(minor, func(c *Circumstances) { c.Registry = words(16, registry.Death) }), Lapsed{NotAttested}},
		{"F26 a parent by another than who has the right", fold(with(parentGranted, func(e *Granted) { e.Source = rival.Organisation }), accepted), minor, Lapsed{NotAttested}},
		{"F26 a parent under a registry from before there were rights", parentState, of(minor, func(c *Circumstances) { c.Registry = registry.Registry{} }), Lapsed{NotAttested}},
		{"F26 a parent of an adult by the number, on record", parentState, of(minor, func(c *Circumstances) { c.Numbered = "1982-05-01" }), Lapsed{NotMinor}},
		{"F26 a parent of somebody of whom nothing is known", parentState, of(minor, func(c *Circumstances) { c.Numbered = "1900-01-01" }), Lapsed{NotMinor}},
		{"M-1.11 a parent of somebody not born", parentState, of(minor, func(c *Circumstances) { c.Today = "2012-04-30" }), Lapsed{NotMinor}},
		{"M-1.12 the day before the minor decides", parentState, on(minor, "2028-04-30"), nil},
		{"M-1.12 the day on which the minor decides", parentState, on(minor, "2028-05-01"), Lapsed{DecidesAlone}},
		{"M-1.12 earlier by the number", parentState, on(of(minor, func(c *Circumstances) { c.Numbered = "2012-01-01" }), "2028-01-01"), Lapsed{DecidesAlone}},
		{"M-1.12 without a word in the registry until majority", parentState, on(of(minor, func(c *Circumstances) { c.Registry = words(0, registry.Parentage) }), "2030-04-30"), nil},
		{"M-1.6 and not on the eighteenth birthday", parentState, on(of(minor, func(c *Circumstances) { c.Registry = words(0, registry.Parentage) }), "2030-05-01"), Lapsed{Expired}},
		{"M-1.6 by an older form", parentState, on(of(minor, func(c *Circumstances) { c.Opened = old }), "2028-04-30"), nil},
		{"M-1.12 by an older form", parentState, on(of(minor, func(c *Circumstances) { c.Opened = old }), "2028-05-01"), Lapsed{DecidesAlone}},
		{"M-1.12 by an older form, born on 29 February or 1 March", parentState, on(of(minor, func(c *Circumstances) { c.Opened = leap }), "2028-02-29"), Lapsed{DecidesAlone}},
		{"M-1.12 and the day before", parentState, on(of(minor, func(c *Circumstances) { c.Opened = leap }), "2028-02-28"), nil},
		{"M-1.12 a minor who does not decide yet gave a mandate", chosenState, of(adult, func(c *Circumstances) { c.Numbered = "2012-05-01" }), Lapsed{GrantorMinor}},
		{"M-1.12 a minor who decides gave a mandate", chosenState, of(adult, func(c *Circumstances) { c.Numbered = "2010-03-01" }), nil},
	} {
		got, err := tc.state.InForce(tc.in)
		if !errors.Is(err, tc.want) || errors.Is(tc.want, ErrNotInForce) && !errors.Is(err, ErrNotInForce) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if allowed := got.Allows(mother, child, Read) || got.Covers("diploma"); allowed != (tc.want == nil) {
			t.Errorf("%s: allowed = %v", tc.name, allowed)
		}
	}
}

// A minor decides from the day on which the parents no longer do: never both, and never
// nobody, whatever is known of the birth.
func TestF26EitherTheParentsOrTheMinorDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		born := domain.Date("2012-02-25").AddDays(rapid.IntRange(0, 10).Draw(t, "born")) // 29 February among them
		age := rapid.IntRange(12, 18).Draw(t, "age")
		in := lawful(born, &GrantedPersonal{Until: born.AddYears(18), Born: born})
		in.Registry.Settings.MinorsDecideFrom = age
		in.Today = born.AddYears(rapid.IntRange(11, 18).Draw(t, "years")).AddDays(rapid.IntRange(-2, 2).Draw(t, "days"))
		_, err := fold(parentGranted, accepted).InForce(in)
		minor := MinorDecides(born, in.Today, age)
		if (err == nil) != errors.Is(minor, ErrMinor) {
			t.Fatalf("born %s, from %d, on %s: the parents %v, the minor %v", born, age, in.Today, err, minor)
		}
	})
	if err := MinorDecides("", "2026-03-01", 16); !errors.Is(err, ErrMinor) {
		t.Error("who cannot be judged decides")
	}
	if err := MinorDecides("2080-01-01", "2026-03-01", 16); err != nil {
		t.Errorf("a number that tells of a day ahead tells no age: %v", err)
	}
}

// A minor who does not decide for themselves decides for nobody else (rule M-1.12), by whatever
// mandate, from the day on which they do.
func TestAMinorDecidesForNobody(t *testing.T) {
	for name, of := range map[string]struct {
		given []Event
		in    Circumstances
	}{
		"a chosen one":       {[]Event{chosenGranted, accepted}, lawful("1986-01-01", &GrantedPersonal{Until: "2027-01-01"})},
		"a court's":          {byCourt, lawful("1986-01-01", &GrantedPersonal{Until: "2027-01-01"})},
		"a parent of a baby": {[]Event{parentGranted, accepted}, lawful("2025-05-01", &GrantedPersonal{Until: "2043-05-01", Born: "2025-05-01"})},
	} {
		for i, e := range of.given {
			if g, ok := e.(Granted); ok {
				of.given = slices.Clone(of.given)
				of.given[i] = with(g, func(g *Granted) { g.Scope.Actions = []Action{Read, Consent} })
			}
		}
		s := fold(of.given...)
		for born, decides := range map[domain.Date]bool{"1980-01-01": true, "2010-03-01": true, "2010-03-02": false, "2016-03-04": false} {
			of.in.RepresentativeNumbered = born
			f, err := s.InForce(of.in)
			if err != nil || !f.Allows(s.Representative, s.Citizen, Read) || f.Allows(s.Representative, s.Citizen, Consent) != decides {
				t.Errorf("%s, whose representative was born %s: %+v, %v", name, born, f.Scope, err)
			}
			if err := s.Spoke(of.in.Today, of.in); err != nil {
				t.Errorf("%s, whose representative was born %s: what was done counts no more: %v", name, born, err)
			}
		}
		if len(s.Scope.Actions) != 2 {
			t.Error("the state changed")
		}
	}
}

// M-1.2, M-1.5, M-1.6: what a mandate in force allows, to whom, about what.
func TestScope(t *testing.T) {
	f, err := fold(chosenGranted, accepted).InForce(lawful("1986-01-01", &GrantedPersonal{Until: "2027-01-01"}))
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
	p, err := fold(parentGranted, accepted).InForce(lawful("2012-05-01", parentGranted.Personal))
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
	leap := lawful("2012-02-29", &GrantedPersonal{Until: "2030-03-01", Born: "2012-02-29"})
	if p, err = fold(parentGranted, accepted).InForce(leap); err != nil || p.Holds(isi, "2024-02-29") || !p.Holds(isi, "2024-02-28") {
		t.Errorf("F26 born on 29 February: %v", err)
	}
}

// Whatever is asked, in whatever order, and however the world turns: M-1.7 ended stays ended,
// decisions repeat, states do not change, and (rule M-1.10) nobody speaks for a person but by
// a mandate that lives and is attested: accepted and not ended; between two who live; granted
// by the citizen, who decides alone by then, or by an organisation that has the right of its
// ground today; and, of parents, over somebody who is a minor by every day of birth there is.
func TestF26NobodySpeaksWithoutALivingAttestedMandate(t *testing.T) {
	spoke := map[Ground]int{}
	rapid.Check(t, func(t *rapid.T) {
		day := func(name string) domain.Date {
			return rapid.SampledFrom([]domain.Date{"", "1900-01-01", "1982-05-01", "2008-02-29", "2008-03-02", "2010-03-01", "2012-05-01", "2026-03-01", "2080-01-01"}).Draw(t, name)
		}
		rights := func(name string) []registry.Attestation {
			return rapid.OneOf(rapid.Just(registry.Attestations), rapid.SliceOfDistinct(rapid.SampledFrom(registry.Attestations), rapid.ID)).Draw(t, name)
		}
		standing := func(name string) citizen.Standing {
			return rapid.SampledFrom([]citizen.Standing{citizen.Living, citizen.Living, citizen.Living, citizen.Dead, citizen.Erasing, ""}).Draw(t, name)
		}
		var s State
		var past []State
		var texts []string
		var grants []Granted
		var rightsThen []registry.Attestation
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			by := rapid.SampledFrom([]domain.Actor{source, rival, system, asChild, asMum, asDad}).Draw(t, "by")
			var cmd domaintest.Command[State, Event]
			then := rights("rights then")
			switch rapid.IntRange(0, 4).Draw(t, "command") {
			case 0, 1:
				c := rapid.SampledFrom([]Grant{parent, chosen, court}).Draw(t, "grant")
				if rapid.Bool().Draw(t, "by another") {
					c.By = by
				}
				c.Born, c.Numbered = day("born"), day("numbered then")
				c.Until = rapid.SampledFrom([]domain.Date{"", "2026-03-01", "2026-03-02", "2030-05-01", "2040-01-01"}).Draw(t, "until")
				c.CitizenIs, c.RepresentativeIs = standing("citizen then"), standing("representative then")
				c.Attestors = nil
				if slices.Contains(then, c.Kind.Attestation()) {
					c.Attestors = []domain.Organisation{org}
				}
				cmd = c
			case 2:
				cmd = Accept{asMum, noon}
			case 3:
				cmd = Accept{by, noon}
			case 4:
				cmd = End{rapid.SampledFrom([]domain.ReasonCode{Death, Decision, Majority, NotMinor}).Draw(t, "reason"), by, noon}
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
				if g, ok := e.(Granted); ok {
					grants, rightsThen = append(grants, g), then
				}
				s = Evolve(s, e)
			}
			speaks(t, s, grants, rightsThen, Circumstances{
				Today: rapid.SampledFrom([]domain.Date{"2026-03-01", "2026-03-02", "2028-05-01", "2030-04-30"}).Draw(t, "today"), Numbered: day("numbered"),
				RepresentativeNumbered: day("representative numbered"),
				Registry:               words(rapid.SampledFrom([]int{0, 12, 16, 18}).Draw(t, "age"), rights("rights now")...),
				CitizenIs:              standing("citizen"), RepresentativeIs: standing("representative"),
			}, spoke)
		}
		for i := range past {
			if fmt.Sprintf("%+v", past[i]) != texts[i] {
				t.Fatal("a state changed after it was handed out")
			}
		}
	})
	if len(spoke) == 0 {
		t.Error("no history in which anybody speaks")
	}
}

// speaks holds the decision whether a mandate speaks to the rules, told once more.
func speaks(t *rapid.T, s State, grants []Granted, then []registry.Attestation, in Circumstances, spoke map[Ground]int) {
	if len(grants) > 0 {
		in.Opened = grants[0].Personal
	}
	f, err := s.InForce(in)
	if len(grants) > 1 {
		t.Fatal("granted twice")
	}
	if err != nil {
		if f.Allows(s.Representative, s.Citizen, Read) || f.Covers("isiPlusCard") || f.Holds(registry.DocumentType{Name: "isiPlusCard", Holders: registry.Holders{ParentsUntil: 18}}, in.Today) {
			t.Fatalf("%v, and it allows", err)
		}
		return
	}
	g := grants[0]
	spoke[g.Kind]++
	age := func(born domain.Date, years int) bool { return !in.Today.Before(born.AddYears(years)) } // has the age by then
	decides := 18
	if in.Registry.Settings.MinorsDecideFrom > 0 {
		decides = in.Registry.Settings.MinorsDecideFrom
	}
	rightsNow := in.Registry.Organisations[0].Attests
	switch {
	case !s.Accepted || s.Ended || in.CitizenIs != citizen.Living || in.RepresentativeIs != citizen.Living:
		t.Fatal("dead, or no mandate")
	case !in.Today.Before(g.Personal.Until):
		t.Fatal("beyond its end")
	case in.RepresentativeNumbered == "":
		t.Fatal("by somebody of whom no age is known")
	case f.Allows(s.Representative, s.Citizen, Consent) && !age(in.RepresentativeNumbered, decides) && !in.Today.Before(in.RepresentativeNumbered):
		t.Fatal("decided by a child")
	case g.Kind == ParentOfMinor && (g.Source != org || !slices.Contains(then, registry.Parentage) || !slices.Contains(rightsNow, registry.Parentage)):
		t.Fatal("parents by anybody's word")
	case g.Kind == ParentOfMinor && (age(in.Numbered, 18) || age(g.Personal.Born, 18) || age(in.Numbered, decides) || in.Today.Before(in.Numbered) && in.Today.Before(g.Personal.Born)):
		t.Fatal("parents of who is no minor, or decides")
	case g.Kind == AppointedByCourt && (g.Source != org || !slices.Contains(then, registry.CourtAppointment) || !slices.Contains(rightsNow, registry.CourtAppointment)):
		t.Fatal("appointed by anybody's word")
	case g.Kind == Representation && (g.Source != "" || !age(in.Numbered, decides) && !in.Today.Before(in.Numbered)):
		t.Fatal("chosen by a child, or by an administration")
	}
}

// States are shared between goroutines: what follows one never changes it.
func TestImmutable(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		return rapid.SampledFrom([]Event{parentGranted, chosenGranted, accepted, ended(Death)}).Draw(t, "event")
	})
}
