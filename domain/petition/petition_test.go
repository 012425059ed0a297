package petition_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/domaintest"
	"coffre/domain/mandate"
	. "coffre/domain/petition"
)

var (
	one     = domain.PetitionID{UUID: uuid.UUID{1}}
	ana     = domain.CitizenID{UUID: uuid.UUID{2}}
	entry   = domain.EntryID{UUID: uuid.UUID{3}}
	read    = domain.AccessID{UUID: uuid.UUID{4}}
	paper   = domain.DocumentID{UUID: uuid.UUID{5}}
	noon    = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	later   = noon.AddDate(0, 0, 10)
	me      = domain.Actor{Role: domain.RoleCitizen, Citizen: ana}
	officer = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "1.one"}
	reader  = domain.Actor{Role: domain.RoleConsumer, Organisation: "0316380841"}
	source  = domain.Actor{Role: domain.RoleIssuer, Organisation: "0308356862"}
	words   = &TextPersonal{Text: "I never moved there."}
	why     = &TextPersonal{Text: "The register says so."}

	dispute   = Dispute{Petition: one, Citizen: ana, Entry: entry, Access: read, Organisation: reader.Organisation, Text: words.Text, By: me, At: noon}
	disputed  = Disputed{Petition: one, Citizen: ana, Entry: entry, Access: read, Organisation: reader.Organisation, Deadline: "2026-02-28", At: noon, Personal: words}
	nobodys   = Disputed{Petition: one, Citizen: ana, Entry: entry, Deadline: "2026-02-28", At: noon, Personal: words}
	rectify   = Request{Petition: one, Citizen: ana, Kind: Rectification, Organisation: source.Organisation, Document: &paper, Version: 2, Restrict: true, Text: words.Text, By: me, At: noon}
	contested = Requested{Petition: one, Citizen: ana, Kind: Rectification, Organisation: source.Organisation, Document: paper, Version: 2, Restricts: true, Deadline: "2026-02-28", At: noon, Personal: words}
	object    = Request{Petition: one, Citizen: ana, Kind: Objection, Organisation: reader.Organisation, Purpose: "schoolAllowance", Text: words.Text, By: me, At: noon}
	objected  = Requested{Petition: one, Citizen: ana, Kind: Objection, Organisation: reader.Organisation, Purpose: "schoolAllowance", Deadline: "2026-02-28", At: noon, Personal: words}

	reject   = Answer{Outcome: Rejected, Text: why.Text, By: reader, At: later}
	rejected = DisputeAnswered{Petition: one, Citizen: ana, Outcome: Rejected, At: later, Personal: why}
	uphold   = Answer{Outcome: Upheld, Version: 3, By: source, At: later}
	parent   = domain.Actor{Role: domain.RoleRepresentative, Citizen: domain.CitizenID{UUID: uuid.UUID{6}}}
	parental = mandate.InForce{ID: domain.MandateID{UUID: uuid.UUID{7}}, Citizen: ana, Representative: parent.Citizen, Kind: mandate.ParentOfMinor,
		Scope: mandate.Scope{Types: []domain.DocumentType{"isiPlusCard"}, Actions: []mandate.Action{mandate.Read, mandate.Consent}}}
	takeTime = Extend{Text: why.Text, By: reader, At: later}
	extended = Extended{Petition: one, Citizen: ana, Organisation: reader.Organisation, Deadline: "2026-04-30", At: later, Personal: why}
	upheld   = Answered{Petition: one, Citizen: ana, Outcome: Upheld, Rectified: 3, At: later}
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

// asParent is a dispute by a parent, of an access to a document of a type that the mandate covers.
func asParent(c Dispute) Dispute {
	c.Mandate, c.Type, c.By = parental, "isiPlusCard", parent
	return c
}

func TestRules(t *testing.T) {
	long := strings.Repeat("é", MaxText)
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "Q-1 Q-3 a citizen disputes an access", When: dispute, Then: []Event{disputed}},
		{Name: "Q-1 an attempt that was refused is disputed to nobody but the vault", When: with(dispute, func(c *Dispute) { c.Access, c.Organisation = domain.AccessID{}, "" }), Then: []Event{nobodys}},
		{Name: "Q-1 the longest text", When: with(dispute, func(c *Dispute) { c.Text = long }), Then: []Event{with(disputed, func(e *Disputed) { e.Personal = &TextPersonal{Text: long} })}},
		{Name: "Q-1 a text that is too long", When: with(dispute, func(c *Dispute) { c.Text = long + "." }), Err: ErrText},
		{Name: "Q-1 no text", When: with(dispute, func(c *Dispute) { c.Text = " \u2800\n" }), Err: ErrText},
		{Name: "Q-1 a text that shows as another", When: with(dispute, func(c *Dispute) { c.Text = "a\u202eb" }), Err: ErrText},
		{Name: "Q-1 a text that is no UTF-8", When: with(dispute, func(c *Dispute) { c.Text = "a\xff" }), Err: ErrText},
		{Name: "Q-1 another citizen does not dispute", When: with(dispute, func(c *Dispute) { c.By.Citizen = domain.CitizenID{UUID: uuid.UUID{9}} }), Err: ErrNotYours},
		{Name: "Q-8 a representative without a mandate does not dispute", When: with(dispute, func(c *Dispute) { c.By.Role = domain.RoleRepresentative }), Err: ErrNotYours},
		{Name: "Q-8 a representative who decides disputes", When: asParent(dispute), Then: []Event{with(disputed, func(e *Disputed) { e.Mandate = parental.ID })}},
		{Name: "Q-8 a representative who may only read does not", When: with(asParent(dispute), func(c *Dispute) { c.Mandate.Scope.Actions = []mandate.Action{mandate.Read} }), Err: ErrNotYours},
		{Name: "Q-8 nor about another type of document", When: with(asParent(dispute), func(c *Dispute) { c.Type = "diploma" }), Err: ErrNotYours},
		{Name: "Q-8 nor about everything under a mandate for a type", When: with(asParent(dispute), func(c *Dispute) { c.Type = "" }), Err: ErrNotYours},
		{Name: "Q-8 nor for somebody else", When: with(asParent(dispute), func(c *Dispute) { c.Mandate.Citizen = domain.CitizenID{UUID: uuid.UUID{9}} }), Err: ErrNotYours},
		{Name: "Q-8 nor under the mandate of another", When: with(asParent(dispute), func(c *Dispute) { c.Mandate.Representative = domain.CitizenID{UUID: uuid.UUID{9}} }), Err: ErrNotYours},
		{Name: "Q-8 a representative asks for rectification", When: with(rectify, func(c *Request) { c.Mandate, c.Type, c.By = parental, "isiPlusCard", parent }), Then: []Event{with(contested, func(e *Requested) { e.Mandate = parental.ID })}},
		{Name: "Q-8 a representative with a mandate for a type does not object", When: with(object, func(c *Request) { c.Mandate, c.By = parental, parent }), Err: ErrNotYours},
		{Name: "Q-8 one with a mandate for everything does", When: with(object, func(c *Request) { c.Mandate, c.By = parental, parent; c.Mandate.Scope.Types = nil }), Then: []Event{with(objected, func(e *Requested) { e.Mandate = parental.ID })}},
		{Name: "Q-1 an officer does not dispute", When: with(dispute, func(c *Dispute) { c.By = officer }), Err: ErrNotYours},
		{Name: "Q-4 an entry is disputed once", Given: []Event{disputed}, When: dispute, Err: ErrDisputed},
		{Name: "Q-4 an entry is disputed once, also when it was answered", Given: []Event{disputed, rejected}, When: dispute, Err: ErrDisputed},

		{Name: "Q-1 Q-6 a citizen asks for rectification", When: rectify, Then: []Event{contested}},
		{Name: "Q-1 a citizen objects", When: object, Then: []Event{objected}},
		{Name: "Q-4 the same request again records nothing", Given: []Event{objected}, When: object},
		{Name: "Q-1 another citizen does not ask", When: with(rectify, func(c *Request) { c.By.Citizen = domain.CitizenID{UUID: uuid.UUID{9}} }), Err: ErrNotYours},
		{Name: "Q-1 a rectification names a document", When: with(rectify, func(c *Request) { c.Document = nil }), Err: ErrKind},
		{Name: "Q-1 an objection names a purpose", When: with(object, func(c *Request) { c.Purpose = "" }), Err: ErrKind},
		{Name: "Q-1 an objection names an organisation", When: with(object, func(c *Request) { c.Organisation = "" }), Err: ErrKind},
		{Name: "Q-1 a dispute is no request", When: with(object, func(c *Request) { c.Kind = Disputes }), Err: ErrKind},
		{Name: "Q-1 a request has a text", When: with(object, func(c *Request) { c.Text = "" }), Err: ErrText},

		{Name: "Q-2 the organisation that read answers", Given: []Event{disputed}, When: reject, Then: []Event{rejected}},
		{Name: "Q-2 an issuer that read back answers", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.By.Role = domain.RoleIssuer }), Then: []Event{rejected}},
		{Name: "Q-2 another organisation does not answer", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.By = source }), Err: ErrNotAnswerer},
		{Name: "Q-2 an officer does not answer for an organisation", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.By = officer }), Err: ErrNotAnswerer},
		{Name: "Q-2 the citizen does not answer", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.By = me }), Err: ErrNotAnswerer},
		{Name: "Q-2 an officer answers where no organisation does", Given: []Event{nobodys}, When: with(reject, func(c *Answer) { c.By = officer }), Then: []Event{rejected}},
		{Name: "Q-2 an organisation does not answer for the vault", Given: []Event{nobodys}, When: reject, Err: ErrNotAnswerer},
		{Name: "Q-2 nobody of no organisation answers for the vault", Given: []Event{nobodys}, When: with(reject, func(c *Answer) { c.By.Organisation = "" }), Err: ErrNotAnswerer},
		{Name: "Q-2 nothing was asked", When: reject, Err: ErrUnknown},
		{Name: "Q-3 a late answer is an answer", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.At = noon.AddDate(0, 6, 0) }), Then: []Event{with(rejected, func(e *DisputeAnswered) { e.At = noon.AddDate(0, 6, 0) })}},
		{Name: "Q-4 the same answer again records nothing", Given: []Event{disputed, rejected}, When: reject},
		{Name: "Q-4 another answer is refused", Given: []Event{disputed, rejected}, When: with(reject, func(c *Answer) { c.Outcome = Upheld }), Err: ErrAnswered},
		{Name: "Q-4 an unknown outcome", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.Outcome = "ignored" }), Err: ErrOutcome},
		{Name: "Q-5 who rejects says why", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.Text = "" }), Err: ErrText},
		{Name: "Q-5 a dispute is upheld without words", Given: []Event{disputed}, When: with(reject, func(c *Answer) { c.Outcome, c.Text = Upheld, "" }),
			Then: []Event{DisputeAnswered{Petition: one, Citizen: ana, Outcome: Upheld, At: later}}},
		{Name: "Q-5 a rectification is upheld with the version that followed", Given: []Event{contested}, When: uphold, Then: []Event{upheld}},
		{Name: "Q-5 a rectification is upheld by a revocation", Given: []Event{contested}, When: with(uphold, func(c *Answer) { c.Version, c.Revoked = 2, true }),
			Then: []Event{with(upheld, func(e *Answered) { e.Rectified = 0 })}},
		{Name: "Q-5 nothing was rectified yet", Given: []Event{contested}, When: with(uphold, func(c *Answer) { c.Version = 2 }), Err: ErrVersion},
		{Name: "Q-5 a rectification is rejected whatever happened", Given: []Event{contested}, When: with(uphold, func(c *Answer) { c.Outcome, c.Text, c.Version = Rejected, why.Text, 2 }),
			Then: []Event{Answered{Petition: one, Citizen: ana, Outcome: Rejected, At: later, Personal: why}}},
		{Name: "Q-5 an objection is upheld", Given: []Event{objected}, When: with(uphold, func(c *Answer) { c.By = reader }),
			Then: []Event{with(upheld, func(e *Answered) { e.Rectified = 0 })}},

		{Name: "Q-7 whoever answers takes two further months", Given: []Event{disputed}, When: takeTime, Then: []Event{extended}},
		{Name: "Q-7 on the last day, by an issuer", Given: []Event{contested}, When: Extend{Text: why.Text, By: source, At: time.Date(2026, 2, 28, 22, 59, 59, 0, time.UTC)},
			Then: []Event{with(extended, func(e *Extended) {
				e.Organisation, e.At = source.Organisation, time.Date(2026, 2, 28, 22, 59, 59, 0, time.UTC)
			})}},
		{Name: "Q-7 not on the day after", Given: []Event{disputed}, When: with(takeTime, func(c *Extend) { c.At = time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC) }), Err: ErrTooLate},
		{Name: "Q-7 the vault takes them where it answers", Given: []Event{nobodys}, When: with(takeTime, func(c *Extend) { c.By = officer }), Then: []Event{with(extended, func(e *Extended) { e.Organisation = "" })}},
		{Name: "Q-7 the vault does not take them for an organisation", Given: []Event{disputed}, When: with(takeTime, func(c *Extend) { c.By = officer }), Err: ErrNotAnswerer},
		{Name: "Q-7 another organisation does not", Given: []Event{disputed}, When: with(takeTime, func(c *Extend) { c.By = source }), Err: ErrNotAnswerer},
		{Name: "Q-7 the citizen does not", Given: []Event{disputed}, When: with(takeTime, func(c *Extend) { c.By = me }), Err: ErrNotAnswerer},
		{Name: "Q-7 it says why", Given: []Event{disputed}, When: with(takeTime, func(c *Extend) { c.Text = " " }), Err: ErrText},
		{Name: "Q-7 once", Given: []Event{disputed, extended}, When: takeTime, Err: ErrExtended},
		{Name: "Q-7 not what was answered", Given: []Event{disputed, rejected}, When: takeTime, Err: ErrAnswered},
		{Name: "Q-7 nothing was asked", When: takeTime, Err: ErrUnknown},
		{Name: "Q-7 what takes longer is answered", Given: []Event{disputed, extended}, When: reject, Then: []Event{rejected}},
	})
}

// a petition is in time through its last day, overdue from the day after, and neither once
// it is answered.
func TestDeadlines(t *testing.T) {
	for at, want := range map[time.Time]domain.Date{
		noon: "2026-02-28",
		time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC):   "2024-02-29",
		time.Date(2026, 12, 15, 12, 0, 0, 0, time.UTC):  "2027-01-15",
		time.Date(2026, 6, 29, 22, 30, 0, 0, time.UTC):  "2026-07-30", // the day after in Belgium
		time.Date(9999, 12, 15, 12, 0, 0, 0, time.UTC):  "9999-12-31",
		time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC):  "2026-12-30",
		time.Date(2025, 12, 31, 23, 30, 0, 0, time.UTC): "2026-02-01",
	} {
		if got := Deadline(at); got != want {
			t.Errorf("a month after %s is %s, want %s", at, got, want)
		}
	}
	open := Evolve(State{}, disputed)
	if open.Overdue("2026-02-28") || !open.Overdue("2026-03-01") || !open.Open() {
		t.Errorf("%+v", open)
	}
	if longer := Evolve(open, extended); longer.Overdue("2026-04-30") || !longer.Overdue("2026-05-01") || !longer.Open() {
		t.Errorf("%+v", longer)
	}
	if answered := Evolve(open, rejected); answered.Open() || answered.Overdue("2027-01-01") {
		t.Errorf("%+v", answered)
	}
	if (State{}).Open() || (State{}).Overdue("2026-01-01") {
		t.Error("no petition waits")
	}
}

// an answer lifts the restriction that came with the petition, but where it upholds an
// objection.
func TestAnswerLiftsRestriction(t *testing.T) {
	restricting := with(objected, func(e *Requested) { e.Restricts = true })
	answer := func(e Requested, o Outcome) State {
		return Evolve(Evolve(State{}, e), Answered{Petition: one, Citizen: ana, Outcome: o, At: later})
	}
	for name, c := range map[string]struct {
		s    State
		want bool
	}{
		"contested and open":     {Evolve(State{}, contested), false},
		"rectified":              {answer(contested, Upheld), true},
		"not rectified":          {answer(contested, Rejected), true},
		"objection rejected":     {answer(restricting, Rejected), true},
		"objection upheld":       {answer(restricting, Upheld), false},
		"nothing was restricted": {answer(objected, Rejected), false},
	} {
		if got := c.s.LiftsRestriction(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestStatesAreNotChanged(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		return rapid.SampledFrom([]Event{disputed, contested, objected, extended, rejected, upheld}).Draw(t, "event")
	})
}
