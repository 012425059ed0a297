package consent_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	. "coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/domaintest"
	"coffre/domain/mandate"
	"coffre/domain/registry"
)

var (
	ana      = domain.CitizenID{UUID: uuid.UUID{1}}
	bob      = domain.CitizenID{UUID: uuid.UUID{2}}
	card     = domain.DocumentID{UUID: uuid.UUID{3}}
	id       = domain.ConsentID{UUID: uuid.UUID{4}}
	paper    = domain.MandateID{UUID: uuid.UUID{5}}
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	year     = noon.AddDate(1, 0, 0)
	org      = domain.Organisation("0206731645")
	consumer = domain.Actor{Role: domain.RoleConsumer, Organisation: org}
	rival    = domain.Actor{Role: domain.RoleConsumer, Organisation: "0671516647"}
	self     = domain.Actor{Role: domain.RoleCitizen, Citizen: ana}
	stranger = domain.Actor{Role: domain.RoleCitizen, Citizen: bob}
	agent    = domain.Actor{Role: domain.RoleRepresentative, Citizen: bob}
	system   = domain.Actor{Role: domain.RoleSystem}
	inForce  = mandate.InForce{ID: paper, Citizen: ana, Representative: bob, Kind: mandate.Representation, Scope: mandate.Scope{Actions: []mandate.Action{mandate.Consent}}, Until: "2030-01-01"}
	reading  = with(inForce, func(m *mandate.InForce) { m.Scope.Actions = []mandate.Action{mandate.Read} })
	diplomas = with(inForce, func(m *mandate.InForce) { m.Scope.Types = []domain.DocumentType{"diploma"} })

	kind = registry.DocumentType{
		Name:       "isiPlusCard",
		Minimum:    []registry.Minimum{{Purpose: "loan", Fields: []domain.Field{"name", "birthDate"}}, {Purpose: "tax", Fields: []domain.Field{"name"}}},
		Predicates: []registry.Predicate{{Name: "ageOver18", AgeAtLeast: registry.AgeAtLeast{Field: "birthDate", Years: 18}}},
	}
	registered = []registry.Registration{{Purpose: "loan", Types: []domain.DocumentType{"isiPlusCard"}, Consent: true}, {Purpose: "tax", Types: []domain.DocumentType{"isiPlusCard"}}}
	held       = document.Snapshot{Document: card, Citizen: ana, Type: "isiPlusCard", IssuedAt: noon, Version: 1, Status: document.Valid}

	terms     = Terms{Consumer: org, Purpose: "loan", Types: []domain.DocumentType{"isiPlusCard"}, Until: year}
	shown     = Shown{Text: "You allow", Language: "en", Version: "1"}
	asked     = Terms{Consumer: org, Purpose: "loan", Types: []domain.DocumentType{"isiPlusCard"}}
	grant     = Grant{Consent: id, Citizen: ana, Terms: asked, Until: &year, Shown: shown, Registered: shown.Text, Registrations: registered, Standing: citizen.Living, By: self, At: noon}
	granted   = Granted{Consent: id, Citizen: ana, Terms: terms, At: noon, Personal: &GrantedPersonal{Shown: shown}}
	request   = Request{Consent: id, Citizen: ana, Terms: asked, Until: &year, Message: "please", Registrations: registered, By: consumer, At: noon}
	requested = Requested{Consent: id, Citizen: ana, Terms: terms, Tracked: true, At: noon, Personal: &RequestedPersonal{Message: "please"}}
	toNobody  = Requested{Consent: id, Terms: terms, Tracked: true, At: noon}
	answer    = with(grant, func(c *Grant) { c.Terms, c.Until = Terms{}, nil })
	refuse    = Refuse{By: self, At: noon}
	refused   = Refused{Consent: id, At: noon}
	withdraw  = Withdraw{By: self, At: noon}
	withdrawn = Withdrawn{Consent: id, Reason: ByCitizen, At: noon}
	use       = Use{Access: accessID(1), Question: access.Question{Kind: access.OpenedDocument, Type: kind, Document: held, Purpose: "loan"},
		Standing: citizen.Living, CaseReference: "c", By: consumer, At: noon.Add(time.Hour)}
	used = access.Authorized{Access: accessID(1), Citizen: ana, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Consumer: org, Document: card, Version: 1,
		Type: "isiPlusCard", Purpose: "loan", Consent: id, Fields: []domain.Field{"name", "birthDate"}, Attempt: 1, At: noon.Add(time.Hour), Personal: &access.AuthorizedPersonal{CaseReference: "c"}}
)

var inMortgage = registry.Registration{Purpose: "loan", Types: []domain.DocumentType{"isiPlusCard"}, Procedures: []domain.Procedure{"mortgage"}, Consent: true}

// inProcedure is a use in a procedure for which the registry lets readers learn more.
func inProcedure(p domain.Procedure, of ...registry.Registration) Use {
	return using(func(c *Use) {
		c.Procedure, c.Registrations = p, of
		c.Type.Minimum = append(slices.Clone(c.Type.Minimum), registry.Minimum{Purpose: "loan", Procedure: "mortgage", Fields: []domain.Field{"name", "birthDate", "insurer"}})
	})
}

func accessID(n byte) domain.AccessID { return domain.AccessID{UUID: uuid.UUID{7, n}} }

func with[T any](v T, f func(*T)) T { f(&v); return v }

func fold(events ...Event) (s State) {
	for _, e := range events {
		s = Evolve(s, e)
	}
	return s
}

func given(f func(*Terms)) Granted { return with(granted, func(e *Granted) { f(&e.Terms) }) }

func asking(f func(*Grant)) Grant { return with(grant, f) }

func using(f func(*Use)) Use { return with(use, f) }

func TestRules(t *testing.T) {
	useOf := func(n byte, at time.Time) access.Authorized {
		return with(used, func(e *access.Authorized) { e.Access, e.At = accessID(n), at })
	}
	byMandate := []Event{with(granted, func(e *Granted) { e.Mandate = paper })}
	documents := func(c *Grant) {
		c.Terms.Types, c.Terms.Documents, c.Held = nil, []domain.DocumentID{card}, []Held{{card, "isiPlusCard"}}
	}
	named := with(given(func(t *Terms) { t.Types, t.Documents = nil, []domain.DocumentID{card} }), func(e *Granted) { e.DocumentTypes = []domain.DocumentType{"isiPlusCard"} })
	before := domain.ConsentID{UUID: uuid.UUID{6}}
	former := with(granted, func(e *Granted) { e.Consent = before })
	renewing := func(f func(*Terms), events ...Event) Grant {
		old := fold(append([]Event{with(former, func(e *Granted) { f(&e.Terms) })}, events...)...)
		return asking(func(c *Grant) { c.Renews = &old })
	}
	same := func(*Terms) {}
	renewal := with(granted, func(e *Granted) { e.Renews = before })
	one, twoADay := given(func(t *Terms) { t.Limits.Uses = 1 }), given(func(t *Terms) { t.Limits.Frequency = Frequency{2, Day} })
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "C-1 the citizen grants unasked", When: grant, Then: []Event{granted}},
		{Name: "C-1 the citizen grants what was asked", Given: []Event{requested}, When: answer, Then: []Event{granted}},
		{Name: "C-1 a stranger does not grant", When: asking(func(c *Grant) { c.By = stranger }), Err: ErrNotYours},
		{Name: "C-1 a consumer does not grant", When: asking(func(c *Grant) { c.By = consumer }), Err: ErrNotYours},
		{Name: "C-1 to a stranger no request exists", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.By, c.Citizen = stranger, bob }), Err: ErrNotFound},
		{Name: "C-1 a representative grants, recorded as such", When: asking(func(c *Grant) { c.By, c.Mandate = agent, inForce }), Then: byMandate},
		{Name: "C-1 a representative without mandate", When: asking(func(c *Grant) { c.By = agent }), Err: ErrNotYours},
		{Name: "C-1 a representative who may only read", When: asking(func(c *Grant) { c.By, c.Mandate = agent, reading }), Err: ErrNotYours},
		{Name: "C-1 a representative for other types", When: asking(func(c *Grant) { c.By, c.Mandate = agent, diplomas }), Err: ErrNotYours},
		{Name: "C-1 a representative for other types, of a document", When: asking(func(c *Grant) { documents(c); c.By, c.Mandate = agent, diplomas }), Err: ErrNotYours},
		{Name: "C-1 another's mandate", When: asking(func(c *Grant) {
			c.By, c.Mandate = agent, with(inForce, func(m *mandate.InForce) { m.Citizen = bob })
		}), Err: ErrNotYours},
		{Name: "C-1 the citizen refuses", Given: []Event{requested}, When: refuse, Then: []Event{refused}},
		{Name: "C-1 a representative refuses", Given: []Event{requested}, When: Refuse{inForce, agent, noon}, Then: []Event{with(refused, func(e *Refused) { e.Mandate = paper })}},
		{Name: "C-1 refusing twice is no error", Given: []Event{requested, refused}, When: refuse},
		{Name: "C-1 a stranger refuses nothing", Given: []Event{requested}, When: Refuse{By: stranger, At: noon}, Err: ErrNotFound},
		{Name: "C-1 nothing to refuse", When: Refuse{By: self, At: noon}, Err: ErrNotFound},
		{Name: "C-1 what was granted is withdrawn, not refused", Given: []Event{granted}, When: refuse, Err: ErrAlreadyDecided},
		{Name: "C-1 granted once", Given: []Event{granted}, When: grant, Err: ErrAlreadyDecided},
		{Name: "C-1 refused is not granted", Given: []Event{requested, refused}, When: answer, Err: ErrAlreadyDecided},

		{Name: "C-7 a citizen who died grants nothing", When: asking(func(c *Grant) { c.Standing = citizen.Dead }), Err: ErrNotYours},
		{Name: "C-7 a citizen who died grants nothing that was asked", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Standing = citizen.Dead }), Err: ErrNotYours},
		{Name: "C-7 nobody known grants nothing", When: asking(func(c *Grant) { c.Standing = "" }), Err: ErrNotYours},
		{Name: "E-4 a citizen being erased grants nothing", When: asking(func(c *Grant) { c.Standing = citizen.Erasing }), Err: citizen.ErrErased},
		{Name: "E-4 an erased citizen grants nothing", When: asking(func(c *Grant) { c.Standing = citizen.Erased }), Err: citizen.ErrErased},

		{Name: "C-8 a renewal names the consent that it renews", When: renewing(same), Then: []Event{renewal}},
		{Name: "C-8 which may be over", When: renewing(func(t *Terms) { t.Until = noon }), Then: []Event{renewal}},
		{Name: "C-8 or withdrawn", When: renewing(same, withdrawn), Then: []Event{renewal}},
		{Name: "C-8 with terms of its own", When: renewing(func(t *Terms) { t.Types, t.Limits.Uses = []domain.DocumentType{"diploma"}, 1 }), Then: []Event{renewal}},
		{Name: "C-8 but to the same consumer", When: renewing(func(t *Terms) { t.Consumer = "0671516647" }), Err: ErrNotRenewable},
		{Name: "C-8 for the same purpose", When: renewing(func(t *Terms) { t.Purpose = "tax" }), Err: ErrNotRenewable},
		{Name: "C-8 and nothing is renewed that was not granted", When: asking(func(c *Grant) { c.Renews = new(fold(requested)) }), Err: ErrNotRenewable},
		{Name: "C-8 a request is answered, and renews nothing", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Renews = renewing(same).Renews }), Err: ErrNotRenewable},
		{Name: "C-8 what is renewed ends, and says why", Given: []Event{granted}, When: Withdraw{By: self, Renewed: true, At: noon}, Then: []Event{with(withdrawn, func(e *Withdrawn) { e.Reason = ByRenewal })}},
		{Name: "C-8 what a stranger renews does not end", Given: []Event{granted}, When: Withdraw{By: stranger, Renewed: true, At: noon}, Err: ErrNotFound},

		{Name: "C-2 a consumer asks", When: request, Then: []Event{requested}},
		{Name: "C-2 asked without a word", When: with(request, func(c *Request) { c.Message = "" }), Then: []Event{with(requested, func(e *Requested) { e.Personal = nil })}},
		{Name: "A-6 asked of nobody, recorded alike and without a word", When: with(request, func(c *Request) { c.Citizen = domain.CitizenID{} }), Then: []Event{toNobody}},
		{Name: "A-6 what reached nobody is granted by nobody", Given: []Event{toNobody}, When: answer, Err: ErrNotFound},
		{Name: "A-6 nor by who names nobody", Given: []Event{toNobody}, When: with(answer, func(c *Grant) { c.Citizen = domain.CitizenID{} }), Err: ErrNotFound},
		{Name: "A-6 nor refused", Given: []Event{toNobody}, When: refuse, Err: ErrNotFound},
		{Name: "A-6 nor withdrawn", Given: []Event{toNobody}, When: withdraw, Err: ErrNotFound},
		{Name: "A-6 nor used", Given: []Event{toNobody}, When: use, Err: access.ErrNoBasis},
		{Name: "C-2 asked once", Given: []Event{requested}, When: request, Err: ErrAlreadyDecided},
		{Name: "C-2 nobody asks for another", When: with(request, func(c *Request) { c.By = rival }), Err: ErrNotRegistered},
		{Name: "C-2 a consumer knows of no document", When: with(request, func(c *Request) { c.Terms.Types, c.Terms.Documents = nil, []domain.DocumentID{card} }), Err: ErrTerms},
		{Name: "C-2 asked within bounds", When: with(request, func(c *Request) { c.Until = new(year.Add(1)) }), Err: ErrPeriod},
		{Name: "C-2 a consumer names", When: asking(func(c *Grant) { c.Terms.Consumer = "" }), Err: ErrTerms},
		{Name: "C-2 a purpose is named", When: asking(func(c *Grant) { c.Terms.Purpose = "" }), Err: ErrTerms},
		{Name: "C-2 documents or types are named", When: asking(func(c *Grant) { c.Terms.Types = nil }), Err: ErrTerms},
		{Name: "C-2 not both", When: asking(func(c *Grant) { c.Terms.Documents = []domain.DocumentID{card} }), Err: ErrTerms},
		{Name: "C-2 each once", When: asking(func(c *Grant) { c.Terms.Types = []domain.DocumentType{"isiPlusCard", "isiPlusCard"} }), Err: ErrTerms},
		{Name: "C-2 not too many", When: asking(func(c *Grant) {
			for i := range MaxFields + 1 {
				c.Terms.Fields = append(c.Terms.Fields, domain.Field(fmt.Sprint("f", i)))
			}
		}), Err: ErrTerms},
		{Name: "C-2 documents are named, and their types recorded", When: asking(documents), Then: []Event{named}},
		{Name: "C-2 each type once", When: asking(func(c *Grant) {
			c.Terms.Types, c.Terms.Documents, c.Held = nil, []domain.DocumentID{card, {UUID: uuid.UUID{9}}}, []Held{{card, "isiPlusCard"}, {domain.DocumentID{UUID: uuid.UUID{9}}, "isiPlusCard"}}
		}), Then: []Event{with(named, func(e *Granted) { e.Terms.Documents = []domain.DocumentID{card, {UUID: uuid.UUID{9}}} })}},
		{Name: "C-2 only documents the citizen holds", When: asking(func(c *Grant) { documents(c); c.Held = nil }), Err: ErrUnknownDocument},
		{Name: "C-2 the consumer is registered to ask", When: asking(func(c *Grant) { c.Registrations = nil }), Err: ErrNotRegistered},
		{Name: "C-2 a registration by law is not one to ask", When: asking(func(c *Grant) { c.Terms.Purpose = "tax" }), Err: ErrNotRegistered},
		{Name: "C-2 the end lies ahead", When: asking(func(c *Grant) { c.Until = &noon }), Err: ErrPeriod},
		{Name: "C-2 F1 a zero time is a moment in the past", When: asking(func(c *Grant) { c.Until = new(time.Time{}) }), Err: ErrPeriod},
		{Name: "C-2 F1 a request until a zero time", When: with(request, func(c *Request) { c.Until = new(time.Time{}) }), Err: ErrPeriod},
		{Name: "C-2 F1 a request granted until a zero time", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Until = new(time.Time{}) }), Err: ErrPeriod},
		{Name: "C-2 terms come without an end of their own", When: asking(func(c *Grant) { c.Terms.Until = year }), Err: ErrTerms},
		{Name: "C-2 so do those of a request", When: with(request, func(c *Request) { c.Terms.Until = year }), Err: ErrTerms},
		{Name: "C-2 and those that narrow one", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Terms.Until = year }), Err: ErrTerms},
		{Name: "C-2 a year at most", When: asking(func(c *Grant) { c.Until = new(year.Add(1)) }), Err: ErrPeriod},
		{Name: "C-2 a year unless said otherwise", When: asking(func(c *Grant) { c.Until = nil }), Then: []Event{granted}},
		{Name: "C-2 as long as is allowed here", When: asking(func(c *Grant) { c.Until, c.Longest = nil, time.Hour }), Then: []Event{given(func(t *Terms) { t.Until = noon.Add(time.Hour) })}},
		{Name: "C-2 not longer than is allowed here", When: asking(func(c *Grant) { c.Longest = time.Hour }), Err: ErrPeriod},
		{Name: "C-2 limits", When: asking(func(c *Grant) { c.Terms.Limits = Limits{3, Frequency{1, Week}, 30} }), Then: []Event{given(func(t *Terms) { t.Limits = Limits{3, Frequency{1, Week}, 30} })}},
		{Name: "C-2 no negative uses", When: asking(func(c *Grant) { c.Terms.Limits.Uses = -1 }), Err: ErrLimits},
		{Name: "C-2 no negative data life", When: asking(func(c *Grant) { c.Terms.Limits.DataLife = -1 }), Err: ErrLimits},
		{Name: "C-2 a frequency has a known period", When: asking(func(c *Grant) { c.Terms.Limits.Frequency = Frequency{1, "hour"} }), Err: ErrLimits},
		{Name: "C-2 a frequency has uses", When: asking(func(c *Grant) { c.Terms.Limits.Frequency = Frequency{0, Day} }), Err: ErrLimits},
		{Name: "C-2 a request is granted narrower", Given: []Event{requested},
			When: with(answer, func(c *Grant) {
				c.Terms, c.Until = Terms{Fields: []domain.Field{"name"}, Limits: Limits{1, Frequency{1, Day}, 7}}, new(noon.Add(time.Hour))
			}),
			Then: []Event{given(func(t *Terms) {
				t.Fields, t.Until, t.Limits = []domain.Field{"name"}, noon.Add(time.Hour), Limits{1, Frequency{1, Day}, 7}
			})}},
		{Name: "C-2 not for longer than asked", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Until = new(year.Add(1)) }), Err: ErrWider},
		{Name: "C-2 not for another than asked", Given: []Event{requested}, When: grant, Err: ErrWider},
		{Name: "C-2 not for more fields than asked", Given: []Event{with(requested, func(e *Requested) { e.Terms.Fields = []domain.Field{"name"} })},
			When: with(answer, func(c *Grant) { c.Terms.Fields = []domain.Field{"birthDate"} }), Err: ErrWider},
		{Name: "C-2 not more often than asked", Given: []Event{with(requested, func(e *Requested) { e.Terms.Limits.Uses = 1 })}, When: with(answer, func(c *Grant) { c.Terms.Limits.Uses = 2 }), Err: ErrWider},
		{Name: "C-2 not in shorter periods than asked", Given: []Event{with(requested, func(e *Requested) { e.Terms.Limits.Frequency = Frequency{1, Week} })},
			When: with(answer, func(c *Grant) { c.Terms.Limits.Frequency = Frequency{1, Day} }), Err: ErrWider},
		{Name: "C-2 a document issued later is not covered", Given: []Event{granted}, When: using(func(c *Use) { c.Document.IssuedAt = noon.Add(1) }), Err: access.ErrNoBasis},
		{Name: "C-2 another type is not covered", Given: []Event{granted}, When: using(func(c *Use) { c.Type.Name, c.Document.Type = "diploma", "diploma" }), Err: access.ErrNoBasis},
		{Name: "C-2 a named document is covered", Given: []Event{named}, When: use, Then: []Event{used}},
		{Name: "C-2 another document is not", Given: []Event{named}, When: using(func(c *Use) { c.Document.Document = domain.DocumentID{UUID: uuid.UUID{8}} }), Err: access.ErrNoBasis},

		{Name: "P-5 consent given before processing was restricted", Given: []Event{granted}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{At: noon.Add(time.Minute)}} }), Err: access.ErrRestricted},
		{Name: "P-5 at the same moment", Given: []Event{granted}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{At: noon}} }), Err: access.ErrRestricted},
		{Name: "P-5 consent given afterwards", Given: []Event{granted}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{At: noon.Add(-time.Minute)}} }), Then: []Event{used}},
		{Name: "P-5 this document is restricted", Given: []Event{granted}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{Document: card, At: noon}} }), Err: access.ErrRestricted},
		{Name: "P-5 restricted, which the consumer does not learn", Given: []Event{granted}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{At: noon}} }), Err: access.ErrNoBasis},
		{Name: "P-5 restricted and withdrawn", Given: []Event{granted, withdrawn}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{At: noon}} }), Err: ErrWithdrawn},
		{Name: "E-3 erased, which the consumer does not learn", Given: []Event{granted}, When: using(func(c *Use) { c.Standing = citizen.Erased }), Err: access.ErrNoBasis},
		{Name: "P-5 a lifted restriction", Given: []Event{granted}, When: with(use, func(c *Use) { c.Restrictions = citizen.Restrictions{{At: noon, LiftedAt: noon}} }), Then: []Event{used}},
		{Name: "C-3 a consent in force is used", Given: []Event{granted}, When: use, Then: []Event{used}},
		{Name: "C-3 withdrawn is refused", Given: []Event{granted, withdrawn}, When: use, Err: ErrWithdrawn},
		{Name: "C-3 the last moment", Given: []Event{granted}, When: using(func(c *Use) { c.At = year.Add(-1) }), Then: []Event{with(used, func(e *access.Authorized) { e.At = year.Add(-1) })}},
		{Name: "C-3 expired is refused", Given: []Event{granted}, When: using(func(c *Use) { c.At = year }), Err: ErrExpired},
		{Name: "C-3 another purpose is refused", Given: []Event{granted}, When: using(func(c *Use) { c.Purpose = "tax" }), Err: ErrOtherPurpose},
		{Name: "A-4 a procedure of its registration, which may learn more", Given: []Event{granted}, When: inProcedure("mortgage", registered[0], inMortgage),
			Then: []Event{with(used, func(e *access.Authorized) {
				e.Procedure, e.Fields = "mortgage", []domain.Field{"name", "birthDate", "insurer"}
			})}},
		{Name: "A-4 a procedure of nobody's registration", Given: []Event{granted}, When: inProcedure("mortgage", registered...), Err: access.ErrNoBasis},
		{Name: "A-4 a procedure of another purpose", Given: []Event{granted}, When: inProcedure("mortgage", registered[0], with(inMortgage, func(r *registry.Registration) { r.Purpose = "tax" })), Err: access.ErrNoBasis},
		{Name: "A-4 a procedure for another type", Given: []Event{granted}, When: inProcedure("mortgage", registered[0], with(inMortgage, func(r *registry.Registration) { r.Types = []domain.DocumentType{"diploma"} })), Err: access.ErrNoBasis},
		{Name: "A-4 a procedure beside others", Given: []Event{granted}, When: inProcedure("insurance", inMortgage), Err: access.ErrNoBasis},
		{Name: "A-4 a procedure without a registration", Given: []Event{granted}, When: inProcedure("mortgage"), Err: access.ErrNoBasis},
		{Name: "C-3 another consumer is refused", Given: []Event{granted}, When: using(func(c *Use) { c.By = rival }), Err: access.ErrNoBasis},
		{Name: "C-3 another role is refused", Given: []Event{granted}, When: using(func(c *Use) { c.By.Role = domain.RoleIssuer }), Err: access.ErrNoBasis},
		{Name: "A-6 not answered yet is as if nobody was asked", Given: []Event{requested}, When: use, Err: access.ErrNoBasis},
		{Name: "C-3 the citizen refused", Given: []Event{requested, refused}, When: use, Err: ErrRefused},
		{Name: "C-3 no consent", When: use, Err: access.ErrNoBasis},
		{Name: "C-3 exhausted is refused", Given: []Event{one, used}, When: using(func(c *Use) { c.Access = accessID(2) }), Err: ErrExhausted},
		{Name: "C-3 twice a day is twice a day", Given: []Event{twoADay, useOf(2, noon), useOf(3, noon.Add(time.Minute))}, When: use, Err: ErrTooOften},
		{Name: "C-3 a day after the first use", Given: []Event{twoADay, useOf(2, noon), useOf(3, noon.Add(time.Hour))}, When: using(func(c *Use) { c.At = noon.Add(24 * time.Hour) }),
			Then: []Event{with(used, func(e *access.Authorized) { e.At = noon.Add(24 * time.Hour) })}},
		{Name: "C-3 a day that rolls", Given: []Event{twoADay, useOf(2, noon), useOf(3, noon.Add(time.Hour)), useOf(4, noon.Add(24*time.Hour))},
			When: using(func(c *Use) { c.At = noon.Add(25*time.Hour - 1) }), Err: ErrTooOften},
		{Name: "C-3 a document that cannot be read is refused", Given: []Event{granted}, When: using(func(c *Use) { c.Document.Status = document.UnknownDates }), Err: access.ErrUnreadable},
		{Name: "C-3 a citizen who died consents no more", Given: []Event{granted}, When: using(func(c *Use) { c.Standing = citizen.Dead }), Err: ErrWithdrawn},
		{Name: "P-6 what a death ended stays ended when it was reported in error", Given: []Event{granted}, When: using(func(c *Use) { c.Revived = noon }), Err: ErrWithdrawn},
		{Name: "P-6 a consent that is given since counts", Given: []Event{granted}, When: using(func(c *Use) { c.Revived = granted.At.Add(-time.Second) }), Then: []Event{used}},
		{Name: "C-3 a citizen nobody could read is refused", Given: []Event{granted}, When: using(func(c *Use) { c.Standing = "" }), Err: access.ErrNoBasis},
		{Name: "E-3 a citizen who is being erased", Given: []Event{granted}, When: using(func(c *Use) { c.Standing = citizen.Erasing }), Err: access.ErrDocumentGone},

		{Name: "C-4 a withdrawal stands, whatever was in flight", Given: []Event{granted, withdrawn, used, granted, refused, requested}, When: use, Err: ErrWithdrawn},
		{Name: "C-4 not even the same access again", Given: []Event{granted, used, withdrawn}, When: use, Err: ErrWithdrawn},
		{Name: "C-4 death withdraws", Given: []Event{granted}, When: Withdraw{By: system, At: noon}, Then: []Event{with(withdrawn, func(e *Withdrawn) { e.Reason = ByDeath })}},
		{Name: "C-5 what was shown is needed", When: asking(func(c *Grant) { c.Shown.Text = "" }), Err: ErrNotShown},
		{Name: "C-5 its language too", When: asking(func(c *Grant) { c.Shown.Language = "" }), Err: ErrNotShown},
		{Name: "C-5 other words than the registry has", When: asking(func(c *Grant) { c.Shown.Text = "You allow, and more" }), Err: ErrOtherText},
		{Name: "C-5 a text that the registry does not have", When: asking(func(c *Grant) { c.Registered = "" }), Err: ErrOtherText},
		{Name: "C-5 other words for a request", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Shown.Text = "You allow." }), Err: ErrOtherText},
		{Name: "C-5 its version too, also for a request", Given: []Event{requested}, When: with(answer, func(c *Grant) { c.Shown.Version = "" }), Err: ErrNotShown},
		{Name: "C-6 the citizen withdraws", Given: []Event{granted}, When: withdraw, Then: []Event{withdrawn}},
		{Name: "C-6 a representative withdraws", Given: []Event{granted}, When: Withdraw{Mandate: inForce, By: agent, At: noon}, Then: []Event{with(withdrawn, func(e *Withdrawn) { e.Mandate = paper })}},
		{Name: "C-6 withdrawing what expired", Given: []Event{granted}, When: Withdraw{By: self, At: year.Add(1)}, Then: []Event{with(withdrawn, func(e *Withdrawn) { e.At = year.Add(1) })}},
		{Name: "C-6 withdrawing twice is no error", Given: []Event{granted, withdrawn}, When: withdraw},
		{Name: "C-6 to strangers there is nothing to withdraw", Given: []Event{granted}, When: Withdraw{By: stranger, At: noon}, Err: ErrNotFound},
		{Name: "C-6 the consumer withdraws nothing", Given: []Event{granted}, When: Withdraw{By: consumer, At: noon}, Err: ErrNotFound},
		{Name: "C-6 nothing to withdraw", When: withdraw, Err: ErrNotFound},
		{Name: "C-6 a request is refused, not withdrawn", Given: []Event{requested}, When: withdraw, Err: ErrNotGranted},

		{Name: "A-2 only fields the citizen agreed to", Given: []Event{given(func(t *Terms) { t.Fields = []domain.Field{"name", "secret"} })}, When: use,
			Then: []Event{with(used, func(e *access.Authorized) { e.Fields = []domain.Field{"name"} })}},
		{Name: "A-2 a field the citizen did not agree to", Given: []Event{given(func(t *Terms) { t.Fields = []domain.Field{"name"} })}, When: using(func(c *Use) { c.Fields = []domain.Field{"birthDate"} }), Err: access.ErrNotCovered},
		{Name: "A-2 a predicate on a field the citizen did not agree to", Given: []Event{given(func(t *Terms) { t.Fields = []domain.Field{"name"} })},
			When: using(func(c *Use) { c.Kind, c.Predicate = access.OpenedPredicate, "ageOver18" }), Err: access.ErrNotCovered},
		{Name: "A-2 a predicate", Given: []Event{granted}, When: using(func(c *Use) { c.Kind, c.Predicate = access.OpenedPredicate, "ageOver18" }),
			Then: []Event{with(used, func(e *access.Authorized) { e.Kind, e.Predicate, e.Fields = access.OpenedPredicate, "ageOver18", nil })}},
		{Name: "A-6 another citizen's document is not there", Given: []Event{granted}, When: using(func(c *Use) { c.Document.Citizen = bob }), Err: access.ErrNoBasis},
		{Name: "A-6 an expired consent says nothing of what is held", Given: []Event{granted}, When: using(func(c *Use) { c.At, c.Document.Status = year, document.IsRevoked }), Err: ErrExpired},
		{Name: "A-6 nor does one used up", Given: []Event{one, used}, When: using(func(c *Use) { c.Access, c.Document = accessID(2), document.Snapshot{} }), Err: ErrExhausted},
		{Name: "D-2 a revoked document under a consent", Given: []Event{granted}, When: using(func(c *Use) { c.Document.Status = document.IsRevoked }), Err: document.ErrRevoked},
		{Name: "A-8 the same access again is no use more", Given: []Event{one, used}, When: using(func(c *Use) { c.Seen = true }), Then: []Event{with(used, func(e *access.Authorized) { e.Attempt = 2 })}},
		{Name: "A-8 the same access too late", Given: []Event{granted, used}, When: using(func(c *Use) { c.At = c.At.Add(access.RepeatWithin + 1) }), Err: access.ErrAlreadyUsed},
		{Name: "A-8 an access nobody remembers", Given: []Event{granted}, When: using(func(c *Use) { c.Seen = true }), Err: access.ErrAlreadyUsed},
	})
}

// C-3: validation judges as use does, and records nothing.
func TestValidate(t *testing.T) {
	for want, s := range map[error]State{
		nil: fold(granted), ErrWithdrawn: fold(granted, withdrawn), ErrRefused: fold(requested, refused), access.ErrNoBasis: fold(requested),
		ErrExhausted: fold(given(func(t *Terms) { t.Limits.Uses = 1 }), with(used, func(e *access.Authorized) { e.Access = accessID(9) })),
	} {
		if err := use.Validate(s); !errors.Is(err, want) {
			t.Errorf("C-3 %v, want %v", err, want)
		}
		if _, err := use.Decide(s); !errors.Is(err, want) {
			t.Errorf("C-3 decided %v, validated %v", err, want)
		}
	}
	if left, limited := fold(given(func(t *Terms) { t.Limits.Uses = 2 }), used).UsesLeft(); left != 1 || !limited {
		t.Errorf("C-3 %d uses left, %v", left, limited)
	}
	if _, limited := fold(granted).UsesLeft(); limited {
		t.Error("C-3 a limit nobody set")
	}
}

// Whatever is asked, in whatever order, and wherever a withdrawal lands: C-4
// withdrawn stays withdrawn and nothing is authorised after it, C-3 uses never
// exceed the limit, nor those of any day the frequency.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, often := rapid.IntRange(1, 4).Draw(t, "uses"), rapid.IntRange(1, 3).Draw(t, "often")
		limits := Limits{Uses: limit, Frequency: Frequency{often, Day}}
		var s, stale State
		var past []State
		var texts []string
		var times []time.Time
		at := noon
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "minutes")) * time.Minute)
			by := rapid.SampledFrom([]domain.Actor{self, self, stranger, consumer}).Draw(t, "by")
			var cmd domaintest.Command[State, Event]
			seen := s
			switch rapid.IntRange(0, 9).Draw(t, "command") {
			case 0:
				cmd = with(request, func(c *Request) { c.At, c.Until, c.Terms.Limits = at, nil, limits })
			case 1, 2:
				cmd = asking(func(c *Grant) { c.By, c.At, c.Until, c.Terms.Limits = by, at, nil, limits })
			case 3:
				cmd = with(answer, func(c *Grant) { c.By, c.At = by, at })
			case 4:
				cmd = Refuse{By: by, At: at}
			case 5:
				if cmd = (Withdraw{By: by, At: at}); rapid.Bool().Draw(t, "stale") && stale.Phase != None {
					seen = stale // appended whatever came between
				}
			default:
				cmd = using(func(c *Use) { c.Access, c.At = accessID(rapid.Byte().Draw(t, "access")), at })
			}
			events, err := cmd.Decide(seen)
			if again, err2 := cmd.Decide(seen); !reflect.DeepEqual(events, again) || (err == nil) != (err2 == nil) {
				t.Fatal("same question, other answer")
			}
			past, texts = append(past, s), append(texts, fmt.Sprintf("%+v", s))
			for _, e := range events {
				if a, ok := e.(access.Authorized); ok {
					if s.Phase == IsWithdrawn {
						t.Fatal("C-4 authorised after the withdrawal")
					}
					if a.Attempt == 1 {
						times = append(times, a.At)
					}
				}
				was := s.Phase
				s = Evolve(s, e)
				if was == IsWithdrawn && s.Phase != IsWithdrawn {
					t.Fatal("C-4 no longer withdrawn")
				}
			}
			if s.Uses > limit || s.Uses != len(times) {
				t.Fatalf("C-3 %d uses counted, %d happened, %d allowed", s.Uses, len(times), limit)
			}
			for i := often; i < len(times); i++ {
				if times[i].Sub(times[i-often]) < 24*time.Hour {
					t.Fatalf("C-3 more than %d uses within a day", often)
				}
			}
			if rapid.Bool().Draw(t, "catches up") {
				stale = s
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
		n := rapid.Byte().Draw(t, "access")
		return rapid.SampledFrom([]Event{
			given(func(t *Terms) { t.Limits.Frequency = Frequency{5, Day} }), requested, refused, withdrawn,
			with(used, func(e *access.Authorized) { e.Access, e.At = accessID(n), noon.Add(time.Duration(n)) }),
			with(used, func(e *access.Authorized) { e.Access, e.At = accessID(n), noon.Add(time.Hour+time.Duration(n)) }),
			with(used, func(e *access.Authorized) { e.Access, e.Attempt = accessID(n), 2 }),
		}).Draw(t, "event")
	})
}

// what is not this consumer's consent lacks as a whole; of its own, the type may.
func TestLackingOfAConsent(t *testing.T) {
	for name, test := range map[string]struct {
		given []Event
		use   Use
		want  access.Word
	}{
		"nothing":             {nil, use, access.WordConsent},
		"a request":           {[]Event{requested}, use, access.WordConsent},
		"a request to nobody": {[]Event{toNobody}, use, access.WordConsent},
		"another's":           {[]Event{granted}, using(func(c *Use) { c.By = rival }), access.WordConsent},
		"another type":        {[]Event{granted}, using(func(c *Use) { c.Type.Name = "diploma" }), access.WordDocumentType},
		"all covered":         {[]Event{granted}, use, ""},
		"a withdrawn one":     {[]Event{granted, withdrawn}, use, ""},
	} {
		if got := test.use.Lacking(fold(test.given...)); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// C-2: a refusal of terms names each term, limit or choice that it is about, with what may stand
// there.
func TestRefusalsOfTermsNameTheirCauses(t *testing.T) {
	narrow := func(f func(*Requested), choose func(*Grant)) (Grant, []Event) {
		return with(answer, choose), []Event{with(requested, f)}
	}
	asIs := func(*Requested) {}
	for name, test := range map[string]struct {
		decide func() (Grant, []Event)
		want   error
		causes string
	}{
		"nothing named": {func() (Grant, []Event) {
			return asking(func(c *Grant) { c.Terms.Consumer, c.Terms.Purpose, c.Terms.Types = "", "", nil }), nil
		}, ErrTerms, "consumer: who is going to read; purpose: what it is read for; documentTypes: documents or types of document, one of both"},
		"named twice": {func() (Grant, []Event) {
			return asking(func(c *Grant) {
				c.Terms.Types = []domain.DocumentType{"isiPlusCard", "isiPlusCard"}
				c.Terms.Fields = []domain.Field{"name", "", "name", "name"}
			}), nil
		}, ErrTerms, "documentTypes/1: another than those before it: each stands once; fields/1: another than those before it: each stands once; fields/2: another than those before it: each stands once; fields/3: another than those before it: each stands once"},
		"too many": {func() (Grant, []Event) {
			return asking(func(c *Grant) { c.Terms.Fields = make([]domain.Field, MaxFields+1) }), nil
		}, ErrTerms, "fields: at most 100"},
		"too long":      {func() (Grant, []Event) { return asking(func(c *Grant) { c.Until = new(year.Add(1)) }), nil }, ErrPeriod, "until: ahead, and within P1Y: not later than " + year.Format(time.RFC3339)},
		"past":          {func() (Grant, []Event) { return asking(func(c *Grant) { c.Until = &noon }), nil }, ErrPeriod, "until: ahead, and within P1Y: not later than " + year.Format(time.RFC3339)},
		"too long here": {func() (Grant, []Event) { return asking(func(c *Grant) { c.Longest = time.Hour }), nil }, ErrPeriod, "until: ahead, and within 1h0m0s: not later than " + noon.Add(time.Hour).Format(time.RFC3339)},
		"limits": {func() (Grant, []Event) {
			return asking(func(c *Grant) { c.Terms.Limits = Limits{-1, Frequency{0, "hour"}, MaxDataLife + 1} }), nil
		}, ErrLimits, "limits/uses: a whole number from 1 to 1000000; limits/dataLife: a whole number from 1 to 36500; limits/frequency/uses: a whole number from 1 to 1000; limits/frequency/per: day, week or month"},
		"wider fields": {func() (Grant, []Event) {
			return narrow(func(e *Requested) { e.Terms.Fields = []domain.Field{"name"} }, func(c *Grant) { c.Terms.Fields = []domain.Field{"name", "birthDate", "address"} })
		}, ErrWider, "fields/1: a field that was asked for; fields/2: a field that was asked for"},
		"longer": {func() (Grant, []Event) { return narrow(asIs, func(c *Grant) { c.Until = new(year.Add(time.Hour)) }) }, ErrWider, "until: not later than asked for: " + year.Format(time.RFC3339)},
		"wider limits": {func() (Grant, []Event) {
			return narrow(func(e *Requested) { e.Terms.Limits = Limits{3, Frequency{1, Week}, 30} }, func(c *Grant) { c.Terms.Limits = Limits{4, Frequency{2, Day}, 31} })
		}, ErrWider, "limits/uses: at most as asked for: 3; limits/dataLife: at most as asked for: 30; limits/frequency/uses: at most as asked for: 1; limits/frequency/per: no shorter period than asked for: week"},
	} {
		c, before := test.decide()
		_, err := c.Decide(fold(before...))
		var told []string
		for _, cause := range domain.CausesOf(err) {
			told = append(told, cause.Of+": "+cause.Expected)
		}
		if got := strings.Join(told, "; "); !errors.Is(err, test.want) || got != test.causes {
			t.Errorf("%s: %v because of %q, want %q", name, err, got, test.causes)
		}
	}
}

// The longest time that is told is the one that counts: an end a moment later is refused.
func TestTheLongestTimeIsTheOneThatIsTold(t *testing.T) {
	last := noon.AddDate(1, 0, 0) // P1Y
	if MaxDuration != "P1Y" {
		t.Fatalf("%s is told", MaxDuration)
	}
	if _, err := asking(func(c *Grant) { c.Until = &last }).Decide(State{}); err != nil {
		t.Errorf("until the last moment: %v", err)
	}
	if _, err := asking(func(c *Grant) { c.Until = new(last.Add(time.Microsecond)) }).Decide(State{}); !errors.Is(err, ErrPeriod) {
		t.Errorf("a moment later: %v", err)
	}
}

// P-5: the consent is judged whatever is restricted, and what is restricted is known before it
// is loaded.
func TestBasisIsJudgedWhateverIsRestricted(t *testing.T) {
	s := Evolve(State{}, granted)
	for name, restricted := range map[string]citizen.Restrictions{
		"everything":    {{At: noon}},
		"this document": {{Document: card, At: noon}},
	} {
		c := with(use, func(c *Use) { c.Restrictions = restricted })
		if _, err := c.Basis(s); err != nil || !c.Restricted(s) {
			t.Errorf("%s: restricted %t, %v", name, c.Restricted(s), err)
		}
	}
	if use.Restricted(s) {
		t.Error("restricted by nothing")
	}
}
