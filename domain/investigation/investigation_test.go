package investigation_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/domaintest"
	. "coffre/domain/investigation"
	"coffre/domain/registry"
)

var (
	one     = domain.InvestigationID{UUID: uuid.UUID{1}}
	noon    = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	day     = 24 * time.Hour
	end     = noon.Add(90 * day)
	police  = domain.Actor{Role: domain.RoleConsumer, Organisation: "0316380841"}
	other   = domain.Actor{Role: domain.RoleConsumer, Organisation: "0308356862"}
	officer = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "1.one"}
	grounds = Grounds{Organisation: police.Organisation, Purpose: "socialFraud", LegalBasis: "legalObligation", Deliberation: "EX-26/090"}

	may = []registry.Registration{
		{Purpose: "socialFraud", Bases: []registry.Basis{{LegalBasis: "legalObligation", Deliberation: "EX-26/091"}, {LegalBasis: "legalObligation", Deliberation: "EX-26/090", HidesForDays: 90}}},
		{Purpose: "other", Bases: []registry.Basis{{LegalBasis: "legalObligation", Deliberation: "EX-26/090", HidesForDays: 300}}},
	}
	open    = Open{Investigation: one, Grounds: grounds, Reason: "fraud", Until: end, Registrations: may, By: police, At: noon}
	opened  = Opened{Investigation: one, Grounds: grounds, Reason: "fraud", Until: end, At: noon}
	later   = noon.Add(80 * day)
	renew   = Renew{Until: later.Add(90 * day), Registrations: may, By: police, At: later}
	renewed = Renewed{Investigation: one, Until: later.Add(90 * day), At: later}
	lift    = Lift{By: police, At: later}
	lifted  = Lifted{Investigation: one, At: later}
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

func TestRules(t *testing.T) {
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "H-1 an organisation that the registry lets hide opens one", When: open, Then: []Event{opened}},
		{Name: "H-1 the same again records nothing", Given: []Event{opened}, When: open},
		{Name: "H-1 another basis does not hide", When: with(open, func(c *Open) { c.Grounds.Deliberation = "EX-26/091" }), Err: ErrMayNotHide},
		{Name: "H-1 another purpose does not hide", When: with(open, func(c *Open) { c.Grounds.Purpose = "pension" }), Err: ErrMayNotHide},
		{Name: "H-1 a retired organisation does not hide", When: with(open, func(c *Open) { c.Registrations = nil }), Err: ErrMayNotHide},
		{Name: "H-1 nobody opens for another", When: with(open, func(c *Open) { c.By = other }), Err: ErrMayNotHide},
		{Name: "H-1 an officer opens none", When: with(open, func(c *Open) { c.By = officer }), Err: ErrMayNotHide},
		{Name: "H-1 an issuer opens none", When: with(open, func(c *Open) { c.By.Role = domain.RoleIssuer }), Err: ErrMayNotHide},
		{Name: "H-1 it has a reason", When: with(open, func(c *Open) { c.Reason = "" }), Err: ErrReason},
		{Name: "H-1 it ends after now", When: with(open, func(c *Open) { c.Until = noon }), Err: ErrEnd},
		{Name: "H-1 a zero end is no end", When: with(open, func(c *Open) { c.Until = time.Time{} }), Err: ErrEnd},
		{Name: "H-1 it ends within the days of the registry", When: with(open, func(c *Open) { c.Until = end.Add(1) }), Err: ErrEnd},
		{Name: "H-2 it is renewed", Given: []Event{opened}, When: renew, Then: []Event{renewed}},
		{Name: "H-2 the same renewal again records nothing", Given: []Event{opened, renewed}, When: renew},
		{Name: "H-2 another does not renew it, and learns nothing", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.By = other }), Err: ErrUnknown},
		{Name: "H-2 an officer does not renew it", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.By = officer }), Err: ErrUnknown},
		{Name: "H-2 none is renewed", When: renew, Err: ErrUnknown},
		{Name: "H-2 a day before the end is in time", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.At = end.Add(-RenewBefore) }), Then: []Event{with(renewed, func(e *Renewed) { e.At = end.Add(-RenewBefore) })}},
		{Name: "H-2 later is too late", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.At = end.Add(1 - RenewBefore) }), Err: ErrLate},
		{Name: "H-2 what ended is not renewed", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.At = end }), Err: ErrOver},
		{Name: "H-2 what was lifted is not renewed", Given: []Event{opened, lifted}, When: renew, Err: ErrOver},
		{Name: "H-2 a renewal brings no end forward", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.Until = end.Add(-1) }), Err: ErrEnd},
		{Name: "H-2 a renewal stays within the days of the registry", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.Until = c.Until.Add(1) }), Err: ErrEnd},
		{Name: "H-2 the registry no longer lets it hide", Given: []Event{opened}, When: with(renew, func(c *Renew) { c.Registrations = may[1:] }), Err: ErrMayNotHide},
		{Name: "H-3 the organisation lifts it", Given: []Event{opened, renewed}, When: lift, Then: []Event{lifted}},
		{Name: "H-3 an officer lifts it", Given: []Event{opened}, When: with(lift, func(c *Lift) { c.By = officer }), Then: []Event{lifted}},
		{Name: "H-3 another does not, and learns nothing", Given: []Event{opened}, When: with(lift, func(c *Lift) { c.By = other }), Err: ErrUnknown},
		{Name: "H-3 an auditor does not", Given: []Event{opened}, When: with(lift, func(c *Lift) { c.By.Role = domain.RoleAuditor }), Err: ErrUnknown},
		{Name: "H-3 lifted once", Given: []Event{opened, lifted}, When: with(lift, func(c *Lift) { c.At = later.Add(day) })},
		{Name: "H-3 what ended is lifted", Given: []Event{opened}, When: with(lift, func(c *Lift) { c.At = end })},
		{Name: "H-3 none is lifted", When: lift, Err: ErrUnknown},
	})
}

// Rule H-4, and that an investigation hides until its end and not at it.
func TestHides(t *testing.T) {
	fold := func(events ...Event) (s State) {
		for _, e := range events {
			s = Evolve(s, e)
		}
		return s
	}
	for name, c := range map[string]struct {
		s     State
		g     Grounds
		at    time.Time
		hides bool
	}{
		"open":                  {fold(opened), grounds, noon, true},
		"just before its end":   {fold(opened), grounds, end.Add(-1), true},
		"at its end":            {fold(opened), grounds, end, false},
		"renewed":               {fold(opened, renewed), grounds, end, true},
		"lifted":                {fold(opened, renewed, lifted), grounds, later, false},
		"none":                  {State{}, Grounds{}, noon, false},
		"another organisation":  {fold(opened), with(grounds, func(g *Grounds) { g.Organisation = other.Organisation }), noon, false},
		"another purpose":       {fold(opened), with(grounds, func(g *Grounds) { g.Purpose = "other" }), noon, false},
		"another legal basis":   {fold(opened), with(grounds, func(g *Grounds) { g.LegalBasis = "publicTask" }), noon, false},
		"another deliberation":  {fold(opened), with(grounds, func(g *Grounds) { g.Deliberation = "EX-26/091" }), noon, false},
		"before it was renewed": {fold(opened), grounds, end.Add(day), false},
	} {
		if got := c.s.Hides(c.g, c.at); got != c.hides {
			t.Errorf("%s: hides = %t", name, got)
		}
	}
}

// What was shown once is never hidden again, whatever is asked in whatever order as time goes
// on, and nothing stays hidden for longer than the registry allows since it was last renewed.
func TestShownStaysShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, shown, last := noon, State{}, false, noon
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60*24).Draw(t, "hours")) * time.Hour)
			if !s.Investigation.IsZero() {
				shown = shown || !s.OpenAt(now)
				if s.OpenAt(now) && now.Sub(last) > 90*day {
					t.Fatalf("hidden for %v without a renewal", now.Sub(last))
				}
			}
			by := rapid.SampledFrom([]domain.Actor{police, other, officer}).Draw(t, "who")
			until := now.Add(time.Duration(rapid.IntRange(-10, 100).Draw(t, "days")) * day)
			var c domaintest.Command[State, Event]
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				c = Open{Investigation: one, Grounds: grounds, Reason: "fraud", Until: until, Registrations: may, By: by, At: now}
			case 1:
				c = Lift{By: by, At: now}
			default:
				c = Renew{Until: until, Registrations: may, By: by, At: now}
			}
			events, err := c.Decide(s)
			if err == nil && len(events) > 0 {
				last = now
			}
			for _, e := range events {
				s = Evolve(s, e)
			}
			if shown && s.OpenAt(now) {
				t.Fatalf("shown, and hidden again by %+v", c)
			}
		}
	})
}

func TestStatesAreNotChanged(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		return rapid.SampledFrom([]Event{opened, renewed, lifted}).Draw(t, "event")
	})
}
