package release_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/domaintest"
	. "coffre/domain/release"
)

var (
	one     = domain.ReleaseID{UUID: uuid.UUID{1}}
	ana     = domain.CitizenID{UUID: uuid.UUID{2}}
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	officer = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "1.one"}
	second  = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "1.two"}
	tag     = Tag{7}

	life          = Propose{Release: one, Kind: NewLife, Basis: "06.1c", Tag: tag, By: officer, At: noon}
	end           = Propose{Release: one, Kind: End, Basis: "06.1c", Until: new(noon.AddDate(1, 0, 0)), Tag: tag, By: officer, At: noon}
	proposed      = Proposed{Release: one, Kind: NewLife, Basis: "06.1c", Tag: tag[:], At: noon}
	proposedEnd   = Proposed{Release: one, Kind: End, Basis: "06.1c", Until: noon.AddDate(1, 0, 0), Tag: tag[:], At: noon}
	approve       = Approve{ProposedBy: officer, Comparable: true, Tag: tag, By: second, At: noon}
	approved      = Approved{Release: one, At: noon}
	completed     = Completed{Release: one, Citizen: ana, At: noon}
	monthLater    = noon.Add(Lifetime)
	tooLate       = monthLater.Add(time.Second)
	otherwiseNext = noon.Add(time.Hour)
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

func TestRules(t *testing.T) {
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "E-4.1 an officer proposes a new life", When: life, Then: []Event{proposed}},
		{Name: "E-4.1 an officer proposes an end", When: end, Then: []Event{proposedEnd}},
		{Name: "E-4.1 the same proposal again is no error", Given: []Event{proposed}, When: life},
		{Name: "E-4.1 an issuer does not propose", When: with(life, func(c *Propose) { c.By.Role = domain.RoleIssuer }), Err: ErrNotOfficer},
		{Name: "E-4.1 an operator does not propose", When: with(life, func(c *Propose) { c.By.Role = domain.RoleOperator }), Err: ErrNotOfficer},
		{Name: "E-4.1 there is a legal basis", When: with(life, func(c *Propose) { c.Basis = "" }), Err: ErrNoLegalBasis},
		{Name: "E-4.1 an end names its moment", When: with(end, func(c *Propose) { c.Until = nil }), Err: ErrKind},
		{Name: "E-4.1 the end lies ahead", When: with(end, func(c *Propose) { c.Until = &noon }), Err: ErrEndPast},
		{Name: "E-4.1 F1 a zero time is a moment in the past", When: with(end, func(c *Propose) { c.Until = new(time.Time{}) }), Err: ErrEndPast},
		{Name: "E-4.1 a new life begins at once", When: with(life, func(c *Propose) { c.Until = new(noon.Add(time.Hour)) }), Err: ErrKind},
		{Name: "E-4.1 an unknown kind", When: with(life, func(c *Propose) { c.Kind = "forgive" }), Err: ErrKind},
		{Name: "E-4.2 another officer approves", Given: []Event{proposed}, When: approve, Then: []Event{approved}},
		{Name: "E-4.2 who proposed does not approve", Given: []Event{proposed}, When: with(approve, func(c *Approve) { c.By = officer }), Err: ErrSecondPerson},
		{Name: "E-4.2 who proposed under a former audit key does not approve", Given: []Event{proposed},
			When: with(approve, func(c *Approve) { c.Aliases = []string{"2.two", "1.one"} }), Err: ErrSecondPerson},
		{Name: "E-4.2 who proposed cannot be told any more", Given: []Event{proposed}, When: with(approve, func(c *Approve) { c.Comparable = false }), Err: ErrSecondPerson},
		{Name: "E-4.2 an operator does not approve", Given: []Event{proposed}, When: with(approve, func(c *Approve) { c.By.Role = domain.RoleOperator }), Err: ErrNotOfficer},
		{Name: "E-4.2 the approver names another person", Given: []Event{proposed}, When: with(approve, func(c *Approve) { c.Tag = Tag{8} }), Err: ErrOtherPerson},
		{Name: "E-4.2 nothing was proposed", When: approve, Err: ErrUnknown},
		{Name: "E-4.2 approving twice is no error", Given: []Event{proposed, approved}, When: approve},
		{Name: "E-4.3 approved on the last day", Given: []Event{proposed}, When: with(approve, func(c *Approve) { c.At = monthLater }), Then: []Event{Approved{one, monthLater}}},
		{Name: "E-4.3 approved too late", Given: []Event{proposed}, When: with(approve, func(c *Approve) { c.At = tooLate }), Err: ErrLapsed},
		{Name: "E-4.3 approved and not carried out in time", Given: []Event{proposed, approved}, When: with(approve, func(c *Approve) { c.At = tooLate }), Err: ErrLapsed},
		{Name: "E-4.4 it is carried out", Given: []Event{proposed, approved}, When: Complete{ana, noon}, Then: []Event{completed}},
		{Name: "E-4.4 it is carried out once", Given: []Event{proposed, approved, completed}, When: Complete{ana, otherwiseNext}},
		{Name: "E-4.4 nothing is carried out before it is approved", Given: []Event{proposed}, When: Complete{ana, noon}, Err: ErrUnknown},
		{Name: "E-4.4 what was carried out is told for ever", Given: []Event{proposed, approved, completed}, When: with(approve, func(c *Approve) { c.At = tooLate })},
	})
}

func TestStatesAreNotChanged(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		return rapid.SampledFrom([]Event{proposed, proposedEnd, approved, completed}).Draw(t, "event")
	})
}

// No tag is shared with what the caller goes on using.
func TestTagIsCopied(t *testing.T) {
	c := life
	events, err := c.Decide(State{})
	if err != nil {
		t.Fatal(err)
	}
	s := Evolve(State{}, events[0])
	events[0].(Proposed).Tag[0]++
	if s.Tag != tag {
		t.Error("a state changed with an event's bytes")
	}
}
