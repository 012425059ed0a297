package access_test

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
	. "coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/domaintest"
	"coffre/domain/investigation"
	"coffre/domain/mandate"
	"coffre/domain/registry"
)

var (
	ana      = domain.CitizenID{UUID: uuid.UUID{1}}
	bob      = domain.CitizenID{UUID: uuid.UUID{2}}
	card     = domain.DocumentID{UUID: uuid.UUID{3}}
	first    = domain.AccessID{UUID: uuid.UUID{4}}
	paper    = domain.MandateID{UUID: uuid.UUID{5}}
	scan     = domain.AttachmentID{UUID: uuid.UUID{9}}
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	org      = domain.Organisation("0206731645")
	source   = domain.Organisation("0671516647")
	consumer = domain.Actor{Role: domain.RoleConsumer, Organisation: org}
	issuer   = domain.Actor{Role: domain.RoleIssuer, Organisation: source}
	officer  = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "x"}
	self     = domain.Actor{Role: domain.RoleCitizen, Citizen: ana}
	parent   = domain.Actor{Role: domain.RoleRepresentative, Citizen: bob}

	kind = registry.DocumentType{
		Name: "isiPlusCard", Issuers: []domain.Organisation{source}, Holders: registry.Holders{ParentsUntil: 18},
		Predicates: []registry.Predicate{{Name: "ageOver18", AgeAtLeast: registry.AgeAtLeast{Field: "birthDate", Years: 18}},
			{Name: "named", AgeAtLeast: registry.AgeAtLeast{Field: "secret", Years: 1}}},
		Minimum: []registry.Minimum{
			{Purpose: "benefit", Fields: []domain.Field{"name", "birthDate"}},
			{Purpose: "benefit", Procedure: "vote", Predicates: []registry.PredicateName{"ageOver18"}},
		},
	}
	held   = document.Snapshot{Document: card, Citizen: ana, Type: "isiPlusCard", Issuer: source, IssuedAt: noon.AddDate(-1, 0, 0), Version: 2, Status: document.Valid}
	byLaw  = AuthorizeByLaw{Access: first, Citizen: ana, Question: Question{Kind: OpenedDocument, Type: kind, Document: held, Purpose: "benefit", Procedure: "loan"}, LegalBasis: "06.1e", Deliberation: "21/008", Registrations: []registry.Registration{{Purpose: "benefit", Types: []domain.DocumentType{"isiPlusCard"}, Procedures: []domain.Procedure{"vote", "loan"}, Bases: []registry.Basis{{LegalBasis: "06.1e", Deliberation: "21/008"}}}}, Standing: citizen.Living, CaseReference: "c", By: consumer, At: noon}
	lawful = Authorized{Access: first, Citizen: ana, Kind: OpenedDocument, Role: domain.RoleConsumer, Consumer: org, Document: card, Version: 2, Type: "isiPlusCard",
		Purpose: "benefit", Procedure: "loan", LegalBasis: "06.1e", Deliberation: "21/008", Fields: []domain.Field{"name", "birthDate"}, Attempt: 1, At: noon, Personal: &AuthorizedPersonal{CaseReference: "c"}}
	inForce = mandate.InForce{ID: paper, Citizen: ana, Representative: bob, Kind: mandate.ParentOfMinor, Scope: mandate.Scope{Actions: []mandate.Action{mandate.Read}}, Until: "2030-01-01", Born: "2012-01-01"}
	acting  = AuthorizeByMandate{Access: first, Citizen: ana, Kind: OpenedWallet, Mandate: inForce, Standing: citizen.Living, By: parent, At: noon}
	acted   = Authorized{Access: first, Citizen: ana, Kind: OpenedWallet, Role: domain.RoleRepresentative, Reader: bob, Mandate: paper, Attempt: 1, At: noon}
	back    = AuthorizeReadBack{Access: first, Kind: OpenedReadBack, Document: held, By: issuer, At: noon}
	wasBack = Authorized{Access: first, Citizen: ana, Kind: OpenedReadBack, Role: domain.RoleIssuer, Consumer: source, Document: card, Version: 2, Type: "isiPlusCard", Attempt: 1, At: noon}
	report  = AuthorizeReport{Access: first, Citizen: ana, Kind: OpenedSubjectAccessReport, LegalBasis: "06.1c", Standing: citizen.Living, By: self, At: noon}
	sending = AuthorizeDelivery{Access: first, Citizen: ana, Carrier: source, Document: &card, Type: "isiPlusCard", Purpose: "notification", LegalBasis: "06.1e", Deliberation: "21/009", Standing: citizen.Living, By: domain.Actor{Role: domain.RoleSystem}, At: noon}
	wasSent = Authorized{Access: first, Citizen: ana, Kind: OpenedDelivery, Role: domain.RoleSystem, Consumer: source, Document: card, Type: "isiPlusCard", Purpose: "notification", LegalBasis: "06.1e", Deliberation: "21/009", Attempt: 1, At: noon}
	agreed  = domain.ConsentID{UUID: uuid.UUID{11}}
	telling = RecordTold{Access: first, Citizen: ana, Purpose: "benefit", Procedure: "vote", LegalBasis: "06.1e", Deliberation: "21/008", Answers: []Answer{{"isiPlusCard", Revoked, card, 2}, {"diploma", NotHeld, domain.DocumentID{}, 0}}, By: consumer, At: noon}
	wasTold = Told{Access: first, Citizen: ana, Consumer: org, Purpose: "benefit", Procedure: "vote", LegalBasis: "06.1e", Deliberation: "21/008", Answers: telling.Answers, At: noon}
	naming  = RecordNamed{Access: first, Citizen: ana, Purpose: "benefit", Procedure: "vote", By: consumer, At: noon}
	named   = Named{Access: first, Citizen: ana, Role: domain.RoleConsumer, Organisation: org, Purpose: "benefit", Procedure: "vote", At: noon}
	outcome = RecordOutcome{Access: first, Citizen: ana, Outcome: Delivered, Attempt: 1, At: noon}
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

// everything restricts all processing.
var everything = citizen.Restrictions{{At: noon}}

// despite returns the registrations with a second basis, and the basis with that number for
// a ground of GDPR art. 18(2).
func despite(all []registry.Registration, basis int) []registry.Registration {
	r := all[0]
	r.Bases = append([]registry.Basis{}, r.Bases[0], registry.Basis{LegalBasis: "06.1c", Deliberation: "21/009"})
	r.Bases[basis].DespiteRestriction = registry.LegalClaims
	return []registry.Registration{r}
}

// procedures returns the registrations with these procedures in place of theirs.
func procedures(all []registry.Registration, p ...domain.Procedure) []registry.Registration {
	r := all[0]
	r.Procedures = p
	return []registry.Registration{r}
}

var (
	searching = investigation.State{Investigation: domain.InvestigationID{UUID: uuid.UUID{7}}, Grounds: investigation.Grounds{Organisation: consumer.Organisation, Purpose: "benefit", LegalBasis: "06.1e", Deliberation: "21/008"}, Reason: "fraud", OpenedAt: noon, Until: noon.Add(time.Hour)}
	under     = with(byLaw, func(c *AuthorizeByLaw) { c.Investigation, c.CaseReference = &searching, "" })
)

func law(f func(*AuthorizeByLaw)) AuthorizeByLaw { return with(byLaw, f) }

func status(s document.Status) AuthorizeByLaw {
	return law(func(c *AuthorizeByLaw) { c.Document.Status = s })
}

func TestRules(t *testing.T) {
	told := func(f func(*Authorized)) []Event { return []Event{with(lawful, f)} }
	predicate := func(f func(*AuthorizeByLaw)) AuthorizeByLaw {
		return law(func(c *AuthorizeByLaw) { c.Kind, c.Predicate = OpenedPredicate, "ageOver18"; f(c) })
	}
	file := func(f func(*AuthorizeByLaw)) AuthorizeByLaw {
		return law(func(c *AuthorizeByLaw) {
			c.Kind, c.Attachment = OpenedAttachment, scan
			c.Type.Minimum = []registry.Minimum{{Purpose: "benefit", Fields: []domain.Field{"name", registry.Attachments}}}
			f(c)
		})
	}
	answered := told(func(e *Authorized) { e.Kind, e.Predicate, e.Fields = OpenedPredicate, "ageOver18", nil })
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "A-1 a disclosure is told afterwards", When: outcome, Then: []Event{Disclosed{Access: first, Citizen: ana, Outcome: Delivered, Attempt: 1, At: noon}}},
		{Name: "A-1 what was withheld is told with its reason", Given: []Event{lawful}, When: with(outcome, func(c *RecordOutcome) { c.Outcome, c.Reason = Withheld, "documentRevoked" }),
			Then: []Event{Disclosed{Access: first, Citizen: ana, Outcome: Withheld, Reason: "documentRevoked", Attempt: 1, At: noon}}},
		{Name: "A-1 nothing is withheld without reason", When: with(outcome, func(c *RecordOutcome) { c.Outcome = Withheld }), Err: ErrOutcome},
		{Name: "A-1 no reason for what was disclosed", When: with(outcome, func(c *RecordOutcome) { c.Reason = "x" }), Err: ErrOutcome},
		{Name: "A-1 an unknown outcome", When: with(outcome, func(c *RecordOutcome) { c.Outcome = "lost" }), Err: ErrOutcome},
		{Name: "A-1 an outcome is of an attempt", When: with(outcome, func(c *RecordOutcome) { c.Attempt = 0 }), Err: ErrOutcome},

		{Name: "A-10 what was told is on record as that", When: telling, Then: []Event{wasTold}},
		{Name: "A-10 under a consent, too", When: with(telling, func(c *RecordTold) { c.Consent, c.LegalBasis, c.Deliberation = &agreed, "", "" }),
			Then: []Event{with(wasTold, func(e *Told) { e.Consent, e.LegalBasis, e.Deliberation = agreed, "", "" })}},
		{Name: "A-10 not under two bases", When: with(telling, func(c *RecordTold) { c.Consent = &agreed }), Err: ErrNoBasis},
		{Name: "A-4 nothing is told without a basis", When: with(telling, func(c *RecordTold) { c.LegalBasis, c.Deliberation = "", "" }), Err: ErrNoBasis},
		{Name: "A-4 nothing is told without a deliberation", When: with(telling, func(c *RecordTold) { c.Deliberation = "" }), Err: ErrNoBasis},
		{Name: "A-4 nothing is told without a purpose", When: with(telling, func(c *RecordTold) { c.Purpose = "" }), Err: ErrNoBasis},
		{Name: "A-10 the case reference is sealed", When: with(telling, func(c *RecordTold) { c.CaseReference = "7" }), Then: []Event{with(wasTold, func(e *Told) { e.Personal = &AuthorizedPersonal{CaseReference: "7"} })}},
		{Name: "A-10 absence of somebody unknown, without a word that names them", When: with(telling, func(c *RecordTold) {
			c.Citizen, c.CaseReference, c.Answers = domain.CitizenID{}, "7", telling.Answers[1:]
		}), Then: []Event{with(wasTold, func(e *Told) { e.Citizen, e.Answers = domain.CitizenID{}, telling.Answers[1:] })}},
		{Name: "A-10 of somebody unknown nothing is held", When: with(telling, func(c *RecordTold) { c.Citizen = domain.CitizenID{} }), Err: ErrQuestion},
		{Name: "A-10 nobody unknown consented", When: with(telling, func(c *RecordTold) {
			c.Citizen, c.Answers, c.Consent, c.LegalBasis, c.Deliberation = domain.CitizenID{}, telling.Answers[1:], &agreed, "", ""
		}), Err: ErrNoBasis},
		{Name: "A-10 to consumers", When: with(telling, func(c *RecordTold) { c.By = issuer }), Err: ErrNoBasis},
		{Name: "A-10 nothing is no answer", When: with(telling, func(c *RecordTold) { c.Answers = nil }), Err: ErrQuestion},
		{Name: "A-10 an unknown answer", When: with(telling, func(c *RecordTold) { c.Answers = []Answer{{"isiPlusCard", "lost", card, 2}} }), Err: ErrQuestion},
		{Name: "A-10 a state of no document", When: with(telling, func(c *RecordTold) { c.Answers = []Answer{{"isiPlusCard", Held, domain.DocumentID{}, 0}} }), Err: ErrQuestion},
		{Name: "A-10 absence of a document", When: with(telling, func(c *RecordTold) { c.Answers = []Answer{{"isiPlusCard", NotHeld, card, 2}} }), Err: ErrQuestion},
		{Name: "A-10 a version of no document", When: with(telling, func(c *RecordTold) { c.Answers = []Answer{{"isiPlusCard", NotHeld, domain.DocumentID{}, 2}} }), Err: ErrQuestion},

		{Name: "A-13 a message is on record", When: sending, Then: []Event{wasSent}},
		{Name: "A-13 about no document", When: with(sending, func(c *AuthorizeDelivery) { c.Document, c.Type = nil, "" }),
			Then: []Event{with(wasSent, func(e *Authorized) { e.Document, e.Type = domain.DocumentID{}, "" })}},
		{Name: "A-13 a restriction of another document", When: with(sending, func(c *AuthorizeDelivery) {
			c.Restrictions = citizen.Restrictions{{Document: domain.DocumentID{UUID: uuid.UUID{7}}}}
		}), Then: []Event{wasSent}},
		{Name: "A-13 P-5 nothing is said of what is restricted", When: with(sending, func(c *AuthorizeDelivery) { c.Restrictions = citizen.Restrictions{{Document: card}} }), Err: ErrRestricted},
		{Name: "A-13 P-5 nor anything where everything is", When: with(sending, func(c *AuthorizeDelivery) { c.Document, c.Restrictions = nil, citizen.Restrictions{{}} }), Err: ErrRestricted},
		{Name: "A-13 not to the dead", When: with(sending, func(c *AuthorizeDelivery) { c.Standing = citizen.Dead }), Err: ErrNotWrittenTo},
		{Name: "A-13 E-4 not to the erased", When: with(sending, func(c *AuthorizeDelivery) { c.Standing = citizen.Erasing }), Err: ErrDocumentGone},
		{Name: "A-13 not to somebody who is not known", When: with(sending, func(c *AuthorizeDelivery) { c.Standing = "" }), Err: ErrNotWrittenTo},
		{Name: "A-13 without a deliberation", When: with(sending, func(c *AuthorizeDelivery) { c.Deliberation = "" }), Err: ErrNoBasis},
		{Name: "A-13 by nobody but the vault", When: with(sending, func(c *AuthorizeDelivery) { c.By = consumer }), Err: ErrNoBasis},
		{Name: "A-11 who finds a citizen is on record", When: naming, Then: []Event{named}},
		{Name: "A-11 without a word about why, too", When: with(naming, func(c *RecordNamed) { c.Purpose, c.Procedure, c.By = "", "", issuer }),
			Then: []Event{with(named, func(e *Named) {
				e.Purpose, e.Procedure, e.Role, e.Organisation = "", "", domain.RoleIssuer, source
			})}},
		{Name: "A-11 once a day", Given: []Event{named}, When: with(naming, func(c *RecordNamed) { c.Access, c.At = domain.AccessID{UUID: uuid.UUID{12}}, noon.Add(time.Hour) })},
		{Name: "A-11 also after something else in between", Given: []Event{named, with(named, func(e *Named) { e.Purpose = "" })}, When: naming},
		{Name: "A-11 the next day in Belgium again", Given: []Event{named}, When: with(naming, func(c *RecordNamed) { c.At = time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC) }),
			Then: []Event{with(named, func(e *Named) { e.At = time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC) })}},
		{Name: "A-11 for another purpose again", Given: []Event{named}, When: with(naming, func(c *RecordNamed) { c.Purpose = "" }), Then: []Event{with(named, func(e *Named) { e.Purpose = "" })}},
		{Name: "A-11 in another procedure again", Given: []Event{named}, When: with(naming, func(c *RecordNamed) { c.Procedure = "loan" }), Then: []Event{with(named, func(e *Named) { e.Procedure = "loan" })}},
		{Name: "A-11 by another organisation again", Given: []Event{named}, When: with(naming, func(c *RecordNamed) { c.By.Organisation = source }), Then: []Event{with(named, func(e *Named) { e.Organisation = source })}},
		{Name: "A-11 in another role again", Given: []Event{named}, When: with(naming, func(c *RecordNamed) { c.By.Role = domain.RoleIssuer }), Then: []Event{with(named, func(e *Named) { e.Role = domain.RoleIssuer })}},
		{Name: "A-11 each that names a case", Given: []Event{named, with(named, func(e *Named) { e.Case = true })}, When: with(naming, func(c *RecordNamed) { c.CaseReference = "7" }),
			Then: []Event{with(named, func(e *Named) { e.Case, e.Personal = true, &AuthorizedPersonal{CaseReference: "7"} })}},
		{Name: "A-11 one that named a case stands for no other", Given: []Event{with(named, func(e *Named) { e.Case = true })}, When: naming, Then: []Event{named}},
		{Name: "A-11 somebody unknown, without a word that names them", When: with(naming, func(c *RecordNamed) { c.Citizen, c.CaseReference = domain.CitizenID{}, "7" }),
			Then: []Event{with(named, func(e *Named) { e.Citizen = domain.CitizenID{} })}},
		{Name: "A-11 an officer says why", When: with(naming, func(c *RecordNamed) { c.By, c.Reason = officer, "complaint" }),
			Then: []Event{with(named, func(e *Named) {
				e.Role, e.Organisation, e.Reason = domain.RolePrivacyOfficer, "", "complaint"
			})}},
		{Name: "A-11 an officer who doesn't say why", When: with(naming, func(c *RecordNamed) { c.By = officer }), Err: ErrLookupReason},
		{Name: "A-11 an officer who says it in words of their own", When: with(naming, func(c *RecordNamed) { c.By, c.Reason = officer, "curious" }), Err: ErrLookupReason},
		{Name: "A-11 a reason is no organisation's", When: with(naming, func(c *RecordNamed) { c.Reason = "complaint" }), Err: ErrMayNotLookUp},
		{Name: "A-11 nobody else looks up", When: with(naming, func(c *RecordNamed) { c.By = self }), Err: ErrMayNotLookUp},
		{Name: "A-11 no organisation without a name", When: with(naming, func(c *RecordNamed) { c.By.Organisation = "" }), Err: ErrMayNotLookUp},

		{Name: "A-2 all that is covered", When: byLaw, Then: []Event{lawful}},
		{Name: "A-2 some of what is covered", When: law(func(c *AuthorizeByLaw) { c.Fields = []domain.Field{"name"} }), Then: told(func(e *Authorized) { e.Fields = []domain.Field{"name"} })},
		{Name: "A-2 more than is covered", When: law(func(c *AuthorizeByLaw) { c.Fields = []domain.Field{"name", "secret"} }), Err: ErrNotCovered},
		{Name: "A-2 a procedure with its own minimum", When: law(func(c *AuthorizeByLaw) { c.Procedure = "vote" }), Err: ErrNotCovered},
		{Name: "A-2 a procedure without its own minimum", When: law(func(c *AuthorizeByLaw) { c.Procedure = "loan" }), Then: told(func(e *Authorized) { e.Procedure = "loan" })},
		{Name: "A-2 no procedure, and the registration lists none", When: law(func(c *AuthorizeByLaw) { c.Procedure, c.Registrations = "", procedures(c.Registrations) }), Then: told(func(e *Authorized) { e.Procedure = "" })},
		{Name: "A-2 a predicate of a procedure", When: predicate(func(c *AuthorizeByLaw) { c.Procedure = "vote" }),
			Then: told(func(e *Authorized) {
				e.Kind, e.Predicate, e.Fields, e.Procedure = OpenedPredicate, "ageOver18", nil, "vote"
			})},
		{Name: "A-2 a predicate on a field that is covered", When: predicate(func(*AuthorizeByLaw) {}), Then: answered},
		{Name: "A-2 a predicate on a field that is not", When: predicate(func(c *AuthorizeByLaw) { c.Predicate = "named" }), Err: ErrNotCovered},
		{Name: "A-2 a predicate nobody knows", When: predicate(func(c *AuthorizeByLaw) { c.Predicate = "rich" }), Err: ErrNotCovered},
		{Name: "A-2 fields or a predicate, not both", When: predicate(func(c *AuthorizeByLaw) { c.Fields = []domain.Field{"name"} }), Err: ErrQuestion},
		{Name: "A-2 files are covered when the purpose names them", When: file(func(*AuthorizeByLaw) {}),
			Then: told(func(e *Authorized) {
				e.Kind, e.Attachment, e.Fields = OpenedAttachment, scan, []domain.Field{registry.Attachments}
			})},
		{Name: "A-2 files are not covered by other fields", When: file(func(c *AuthorizeByLaw) { c.Type.Minimum = kind.Minimum }), Err: ErrNotCovered},
		{Name: "A-2 a file is not asked with fields", When: file(func(c *AuthorizeByLaw) { c.Fields = []domain.Field{"name"} }), Err: ErrQuestion},
		{Name: "A-2 a document's content is not asked with a file", When: law(func(c *AuthorizeByLaw) { c.Attachment = scan }), Err: ErrQuestion},
		{Name: "A-6 with a basis: the document has no such file", When: file(func(c *AuthorizeByLaw) { c.Attachment = domain.AttachmentID{} }), Err: document.ErrNoAttachment},
		{Name: "A-6 without a basis nothing is said of files", When: file(func(c *AuthorizeByLaw) { c.Registrations, c.Attachment = nil, domain.AttachmentID{} }), Err: ErrNoBasis},
		{Name: "A-8 the same access of another file", Given: []Event{with(lawful, func(e *Authorized) { e.Kind, e.Attachment = OpenedAttachment, scan })},
			When: file(func(c *AuthorizeByLaw) { c.Attachment = domain.AttachmentID{UUID: uuid.UUID{10}} }), Err: ErrAlreadyUsed},
		{Name: "A-2 no other kind is asked so", When: law(func(c *AuthorizeByLaw) { c.Kind = OpenedWallet }), Err: ErrQuestion},

		{Name: "P-5 restricted", When: with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions = everything }), Err: ErrRestricted},
		{Name: "P-5 restricted, which the consumer does not learn", When: with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions = everything }), Err: ErrNoBasis},
		{Name: "E-3 erased, which the consumer does not learn", When: status(document.IsErased), Err: ErrNoBasis},
		{Name: "E-3 the citizen is erased, which the consumer does not learn", When: law(func(c *AuthorizeByLaw) { c.Standing = citizen.Erased }), Err: ErrNoBasis},
		{Name: "P-5 restricted, nothing is said of a revocation", When: with(status(document.IsRevoked), func(c *AuthorizeByLaw) { c.Restrictions = everything }), Err: ErrRestricted},
		{Name: "P-5 restricted, nothing is said of what is not held", When: with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions, c.Document = everything, document.Snapshot{} }), Err: ErrNoBasis},
		{Name: "P-5 this document is restricted", When: with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions = citizen.Restrictions{{Document: card, At: noon}} }), Err: ErrRestricted},
		{Name: "P-5 another document is restricted", When: with(byLaw, func(c *AuthorizeByLaw) {
			c.Restrictions = citizen.Restrictions{{Document: domain.DocumentID{UUID: uuid.UUID{77}}, At: noon}}
		}), Then: []Event{lawful}},
		{Name: "P-5 a basis for a ground of art. 18(2)", When: with(byLaw, func(c *AuthorizeByLaw) {
			c.Restrictions, c.Registrations = everything, despite(c.Registrations, 0)
		}), Then: []Event{lawful}},
		{Name: "P-5 another basis of the consumer is for such a ground", When: with(byLaw, func(c *AuthorizeByLaw) {
			c.Restrictions, c.Registrations = everything, despite(c.Registrations, 1)
		}), Err: ErrRestricted},
		{Name: "P-5 the issuer does not read back", When: with(back, func(c *AuthorizeReadBack) { c.Restrictions = everything }), Err: ErrReadBackRestricted},
		{Name: "A-4 no purpose", When: law(func(c *AuthorizeByLaw) { c.Purpose = "" }), Err: ErrNoBasis},
		{Name: "A-4 no legal basis", When: law(func(c *AuthorizeByLaw) { c.LegalBasis = "" }), Err: ErrNoBasis},
		{Name: "A-4 no deliberation", When: law(func(c *AuthorizeByLaw) { c.Deliberation = "" }), Err: ErrNoBasis},
		{Name: "A-4 another deliberation", When: law(func(c *AuthorizeByLaw) { c.Deliberation = "21/009" }), Err: ErrNoBasis},
		{Name: "A-4 another purpose", When: law(func(c *AuthorizeByLaw) { c.Purpose = "tax" }), Err: ErrNoBasis},
		{Name: "A-4 another type", When: law(func(c *AuthorizeByLaw) { c.Type.Name = "diploma" }), Err: ErrNoBasis},
		{Name: "A-4 a procedure it is not registered for", When: law(func(c *AuthorizeByLaw) { c.Procedure = "marry" }), Err: ErrNoBasis},
		{Name: "A-4 F36 no procedure, and the registration lists some", When: law(func(c *AuthorizeByLaw) { c.Procedure = "" }), Err: ErrNoBasis},
		{Name: "A-4 a procedure, and the registration lists none", When: law(func(c *AuthorizeByLaw) { c.Registrations = procedures(c.Registrations) }), Err: ErrNoBasis},
		{Name: "A-4 not registered", When: law(func(c *AuthorizeByLaw) { c.Registrations = nil }), Err: ErrNoBasis},
		{Name: "A-4 no consumer", When: law(func(c *AuthorizeByLaw) { c.By = issuer }), Err: ErrNoBasis},

		{Name: "A-6 without basis nothing is said of a revoked document", When: with(status(document.IsRevoked), func(c *AuthorizeByLaw) { c.Registrations = nil }), Err: ErrNoBasis},
		{Name: "A-6 without basis nothing is said of nothing", When: with(byLaw, func(c *AuthorizeByLaw) { c.Registrations, c.Document = nil, document.Snapshot{} }), Err: ErrNoBasis},
		{Name: "A-6 another citizen's document is not there", When: law(func(c *AuthorizeByLaw) { c.Document.Citizen = bob }), Err: ErrNoBasis},
		{Name: "A-6 a person nobody knows", When: law(func(c *AuthorizeByLaw) { c.Standing = "" }), Err: ErrNoBasis},
		{Name: "A-6 with a basis: the citizen died", When: law(func(c *AuthorizeByLaw) { c.Standing = citizen.Dead }), Then: []Event{lawful}},
		{Name: "D-2 with a basis: revoked", When: status(document.IsRevoked), Err: document.ErrRevoked},
		{Name: "D-2 with a basis: suspended", When: status(document.IsSuspended), Err: ErrSuspended},
		{Name: "D-6 with a basis: expired is disclosed as such", When: status(document.Expired), Then: []Event{lawful}},
		{Name: "D-6 with a basis: not yet valid is disclosed as such", When: status(document.NotYetValid), Then: []Event{lawful}},
		{Name: "D-6 with a basis: dates that cannot be read", When: status(document.UnknownDates), Err: ErrUnreadable},
		{Name: "D-6 with a basis: a version that cannot be told", When: law(func(c *AuthorizeByLaw) { c.Document.Version = 0 }), Err: ErrUnreadable},
		{Name: "E-3 with a basis: erased", When: status(document.IsErased), Err: ErrDocumentGone},
		{Name: "E-3 with a basis: the citizen is being erased", When: law(func(c *AuthorizeByLaw) { c.Standing = citizen.Erasing }), Err: ErrDocumentGone},

		{Name: "A-8 the same access again within five minutes", Given: []Event{lawful}, When: law(func(c *AuthorizeByLaw) { c.Seen, c.At = true, noon.Add(RepeatWithin) }),
			Then: told(func(e *Authorized) { e.Attempt, e.At = 2, noon.Add(RepeatWithin) })},
		{Name: "H-4 under an investigation", When: with(under, func(*AuthorizeByLaw) {}), Then: []Event{with(lawful, func(e *Authorized) { e.Investigation, e.Personal = searching.Investigation, nil })}},
		{Name: "H-4 its end passed", When: with(under, func(c *AuthorizeByLaw) { c.At = searching.Until }), Err: ErrNoBasis},
		{Name: "H-4 it was lifted", When: with(under, func(c *AuthorizeByLaw) {
			c.Investigation = new(with(searching, func(s *investigation.State) { s.LiftedAt = noon }))
		}), Err: ErrNoBasis},
		{Name: "H-4 it is another organisation's", When: with(under, func(c *AuthorizeByLaw) {
			c.Investigation = new(with(searching, func(s *investigation.State) { s.Grounds.Organisation = "0308356862" }))
		}), Err: ErrNoBasis},
		{Name: "H-4 it was opened for another purpose", When: with(under, func(c *AuthorizeByLaw) {
			c.Investigation = new(with(searching, func(s *investigation.State) { s.Grounds.Purpose = "other" }))
		}), Err: ErrNoBasis},
		{Name: "H-4 there is no such investigation", When: with(under, func(c *AuthorizeByLaw) { c.Investigation = new(investigation.State{}) }), Err: ErrNoBasis},
		{Name: "H-4 it names no case", When: with(under, func(c *AuthorizeByLaw) { c.CaseReference = "c" }), Err: ErrCaseHidden},
		{Name: "H-4 what is told under an investigation", When: with(telling, func(c *RecordTold) { c.Investigation = searching.Investigation }), Then: []Event{with(wasTold, func(e *Told) { e.Investigation = searching.Investigation })}},
		{Name: "H-4 nothing is told under a consent and an investigation", When: with(telling, func(c *RecordTold) {
			c.Consent, c.LegalBasis, c.Deliberation, c.Investigation = &agreed, "", "", searching.Investigation
		}), Err: ErrNoBasis},
		{Name: "A-8 a third time", Given: append([]Event{lawful}, told(func(e *Authorized) { e.Attempt = 2 })...), When: byLaw, Then: told(func(e *Authorized) { e.Attempt = 3 })},
		{Name: "A-8 the same access after five minutes", Given: []Event{lawful}, When: law(func(c *AuthorizeByLaw) { c.At = noon.Add(RepeatWithin + 1) }), Err: ErrAlreadyUsed},
		{Name: "A-8 another version by now", Given: []Event{lawful}, When: law(func(c *AuthorizeByLaw) { c.Document.Version = 3 }), Err: ErrAlreadyUsed},
		{Name: "A-8 another kind", Given: []Event{lawful}, When: predicate(func(*AuthorizeByLaw) {}), Err: ErrAlreadyUsed},
		{Name: "A-8 seen, but nobody remembers when", When: law(func(c *AuthorizeByLaw) { c.Seen = true }), Err: ErrAlreadyUsed},
		{Name: "A-8 no longer lawful", Given: []Event{lawful}, When: law(func(c *AuthorizeByLaw) { c.Registrations = nil }), Err: ErrNoBasis},
		{Name: "A-8 no longer held", Given: []Event{lawful}, When: status(document.IsRevoked), Err: document.ErrRevoked},

		{Name: "M-1.2 a representative looks at the wallet", When: acting, Then: []Event{acted}},
		{Name: "M-1.2 a representative reads a document", When: with(acting, func(c *AuthorizeByMandate) { c.Kind, c.Document, c.Type = OpenedDocument, held, kind }),
			Then: []Event{with(acted, func(e *Authorized) {
				e.Kind, e.Document, e.Version, e.Type = OpenedDocument, card, 2, "isiPlusCard"
			})}},
		{Name: "M-1.2 not for whom it is not", When: with(acting, func(c *AuthorizeByMandate) { c.Citizen = bob }), Err: ErrNoBasis},
		{Name: "M-1.2 not in another role", When: with(acting, func(c *AuthorizeByMandate) { c.By.Role = domain.RoleCitizen }), Err: ErrNoBasis},
		{Name: "M-1.2 not without mandate", When: with(acting, func(c *AuthorizeByMandate) { c.Mandate = mandate.InForce{} }), Err: ErrNoBasis},
		{Name: "M-1.2 not what is out of scope", When: with(acting, func(c *AuthorizeByMandate) {
			c.Kind, c.Document, c.Type, c.Mandate.Scope.Types = OpenedDocument, held, kind, []domain.DocumentType{"diploma"}
		}), Err: ErrNoBasis},
		{Name: "M-1.2 not another's document", When: with(acting, func(c *AuthorizeByMandate) {
			c.Kind, c.Document, c.Type, c.Document.Citizen = OpenedDocument, held, kind, bob
		}), Err: ErrNoBasis},
		{Name: "M-1.6 not what parents do not hold", When: with(acting, func(c *AuthorizeByMandate) {
			c.Kind, c.Document, c.Type = OpenedDocument, held, kind
			c.Type.Holders.ParentsUntil = 0
		}), Err: ErrNoBasis},
		{Name: "M-1.8 not after the citizen's death", When: with(acting, func(c *AuthorizeByMandate) { c.Standing = citizen.Dead }), Err: ErrNoBasis},
		{Name: "E-3 a representative reads nothing erased", When: with(acting, func(c *AuthorizeByMandate) {
			c.Kind, c.Document, c.Type = OpenedVersions, held, kind
			c.Document.Status = document.IsErased
		}), Err: ErrDocumentGone},
		{Name: "M-1.2 a wallet is not a document", When: with(acting, func(c *AuthorizeByMandate) { c.Document = held }), Err: ErrQuestion},
		{Name: "M-1.2 nothing else is read so", When: with(acting, func(c *AuthorizeByMandate) { c.Kind = OpenedExport }), Err: ErrQuestion},

		{Name: "D-1 an issuer reads back", When: back, Then: []Event{wasBack}},
		{Name: "D-1 an issuer reads versions", When: with(back, func(c *AuthorizeReadBack) { c.Kind = OpenedVersions }), Then: []Event{with(wasBack, func(e *Authorized) { e.Kind = OpenedVersions })}},
		{Name: "D-1 not what another issued", When: with(back, func(c *AuthorizeReadBack) { c.By.Organisation = org }), Err: ErrNoBasis},
		{Name: "D-1 not as a consumer", When: with(back, func(c *AuthorizeReadBack) { c.By.Role = domain.RoleConsumer }), Err: ErrNoBasis},
		{Name: "D-1 nothing else is read back", When: with(back, func(c *AuthorizeReadBack) { c.Kind = OpenedExport }), Err: ErrQuestion},
		{Name: "E-3 nothing erased is read back", When: with(back, func(c *AuthorizeReadBack) { c.Document.Status = document.IsErased }), Err: ErrDocumentGone},

		{Name: "A-6 a citizen's own report", When: report, Then: []Event{Authorized{Access: first, Citizen: ana, Kind: OpenedSubjectAccessReport, Role: domain.RoleCitizen, LegalBasis: "06.1c", Attempt: 1, At: noon}}},
		{Name: "A-6 an officer's export", When: with(report, func(c *AuthorizeReport) { c.By, c.Kind = officer, OpenedExport }),
			Then: []Event{Authorized{Access: first, Citizen: ana, Kind: OpenedExport, Role: domain.RolePrivacyOfficer, LegalBasis: "06.1c", Attempt: 1, At: noon}}},
		{Name: "A-6 no report about another", When: with(report, func(c *AuthorizeReport) { c.Citizen = bob }), Err: ErrNoBasis},
		{Name: "A-6 a citizen exports nothing", When: with(report, func(c *AuthorizeReport) { c.Kind = OpenedExport }), Err: ErrNoBasis},
		{Name: "A-6 a report has a basis", When: with(report, func(c *AuthorizeReport) { c.LegalBasis = "" }), Err: ErrNoBasis},
		{Name: "A-6 a report is of no other kind", When: with(report, func(c *AuthorizeReport) { c.By, c.Kind = officer, OpenedDocument }), Err: ErrQuestion},
		{Name: "A-6 no report of nobody", When: with(report, func(c *AuthorizeReport) { c.Standing = "" }), Err: ErrNoBasis},
		{Name: "E-3 no report of the erased", When: with(report, func(c *AuthorizeReport) { c.Standing = citizen.Erased }), Err: ErrDocumentGone},
		{Name: "A-1 an outcome changes nothing remembered", Given: []Event{lawful, Disclosed{Access: first, Citizen: ana, Outcome: Delivered, Attempt: 1, At: noon}}, When: byLaw, Then: told(func(e *Authorized) { e.Attempt = 2 })},
	})
}

// there is no break-glass: no role reads without a basis.
func TestNoBreakGlass(t *testing.T) {
	for _, role := range []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleRepresentative,
		domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator, domain.RoleSystem, ""} {
		by := domain.Actor{Role: role, Organisation: org, Citizen: bob, Subject: "x"}
		for _, cmd := range []domaintest.Command[State, Event]{
			law(func(c *AuthorizeByLaw) { c.By, c.Registrations = by, nil }),
			with(acting, func(c *AuthorizeByMandate) { c.By, c.Mandate = by, mandate.InForce{} }),
			with(back, func(c *AuthorizeReadBack) { c.By = by }),
			with(report, func(c *AuthorizeReport) { c.By, c.LegalBasis = by, "" }),
		} {
			if events, err := cmd.Decide(State{}); !errors.Is(err, ErrNoBasis) || events != nil {
				t.Errorf("%q with %T: %v", role, cmd, err)
			}
		}
	}
}

// a daily quota of distinct citizens.
func TestWithinQuota(t *testing.T) {
	for _, tc := range []struct {
		today, quota int
		seen         bool
		want         error
	}{{0, 1, false, nil}, {1, 1, false, ErrQuota}, {1, 1, true, nil}, {0, 0, false, ErrQuota}, {99, 100, false, nil}, {100, 100, false, ErrQuota}} {
		if err := WithinQuota(tc.today, tc.quota, tc.seen); !errors.Is(err, tc.want) {
			t.Errorf("A-7 %+v: %v", tc, err)
		}
	}
}

// refusals are recorded apart up to a threshold, then counted together, those about
// each citizen among themselves.
func TestRefusals(t *testing.T) {
	one := Refused{Consumer: org, Citizen: ana, Document: card, Type: "isiPlusCard", Purpose: "benefit", Procedure: "vote", Reason: "noBasis", At: noon}
	nothing := with(one, func(r *Refused) { r.Citizen, r.Document = domain.CitizenID{}, domain.DocumentID{} })
	var many []Refused
	for i := range ApartPerMinute + 20 {
		at := noon.Add(time.Duration(i) * time.Second)
		r := with(one, func(r *Refused) { r.At = at })
		if i >= ApartPerMinute && i%2 == 0 {
			r.Document, r.Type, r.Procedure = domain.DocumentID{}, "diploma", ""
		}
		many = append(many, r, with(nothing, func(r *Refused) { r.At = at }))
	}
	many = append(many, with(one, func(r *Refused) { r.At, r.Reason = noon.Add(49*time.Second), "dailyQuotaExceeded" }), with(one, func(r *Refused) { r.At = noon.Add(time.Minute) }))
	events, err := RecordRefusals{many}.Decide(RefusalState{})
	if err != nil || len(events) != 2*ApartPerMinute+4 {
		t.Fatalf("A-3 %d facts, %v", len(events), err)
	}
	together := Refused{Consumer: org, Citizen: ana, Purpose: "benefit", Reason: "noBasis", Count: 20, At: noon.Add(ApartPerMinute * time.Second)}
	if got := events[2*ApartPerMinute]; got != together {
		t.Errorf("A-3 counted together: %+v", got)
	}
	if got := events[2*ApartPerMinute+1].(Refused); !got.Citizen.IsZero() || got.Count != 20 {
		t.Errorf("A-3 about nobody, among themselves: %+v", got)
	}
	if got := events[2*ApartPerMinute+2].(Refused); got.Reason != "dailyQuotaExceeded" || got.Count != 1 {
		t.Errorf("A-3 another reason is counted apart: %+v", got)
	}
	if got := events[2*ApartPerMinute+3].(Refused); got.Count != 1 || got.Citizen != ana {
		t.Errorf("A-3 a new minute begins anew: %+v", got)
	}
	var s RefusalState
	for _, e := range events[:2*ApartPerMinute] {
		s = EvolveRefusals(s, e)
	}
	if !reflect.DeepEqual(s, RefusalState{noon, map[Concerned]int{{Citizen: ana}: ApartPerMinute, {}: ApartPerMinute}}) {
		t.Errorf("remembers %+v", s)
	}
	if got := Aggregate(s, []Refused{one, one}); len(got) != 1 || got[0].Count != 2 || got[0].Citizen != ana {
		t.Errorf("A-3 the threshold counts what was recorded before: %+v", got)
	}
	if got := Together([]Refused{one, nothing, with(one, func(r *Refused) { r.At = noon.Add(time.Hour) })}); len(got) != 2 || got[0].Count != 2 || got[0].Citizen != ana || got[1].Count != 1 {
		t.Errorf("A-3 of all minutes: %+v", got)
	}
}

// Refusals that an investigation hides change nothing about how those are recorded that the
// citizen sees: neither how many stand apart, nor what is counted together.
func TestHiddenRefusalsChangeNoOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var shown, all []Refused
		for i := range rapid.IntRange(1, 3*ApartPerMinute).Draw(t, "refusals") {
			r := Refused{Consumer: org, Citizen: ana, Purpose: "benefit", Reason: rapid.SampledFrom([]domain.ReasonCode{"noBasis", "documentRevoked"}).Draw(t, "why"), At: noon.Add(time.Duration(i) * time.Second)}
			if rapid.Bool().Draw(t, "hidden") {
				r.Investigation = searching.Investigation
			} else {
				shown = append(shown, r)
			}
			all = append(all, r)
		}
		var seen []Refused
		for _, r := range Aggregate(RefusalState{}, all) {
			if r.Investigation.IsZero() {
				seen = append(seen, r)
			}
		}
		if want := Aggregate(RefusalState{}, shown); !reflect.DeepEqual(seen, want) {
			t.Fatalf("recorded %+v, want %+v", seen, want)
		}
	})
}

const about = 256 // citizens whose refusals a state remembers at most

// no noise hides what concerns a citizen. However many refusals about nothing or about
// others come, in whatever order, each try on a citizen is on record under their id, and the
// first of a minute stand apart.
func TestNoiseHidesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s RefusalState
		tries, recorded, apart := 0, 0, 0
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			var batch []Refused
			for range rapid.IntRange(0, 90).Draw(t, "refusals") {
				r := Refused{Consumer: org, Reason: "noBasis", At: noon.Add(time.Duration(tries) * time.Millisecond)}
				switch rapid.IntRange(0, 9).Draw(t, "who") {
				case 0:
					r.Citizen = ana
					tries++
				case 1, 2:
					r.Citizen = domain.CitizenID{UUID: uuid.UUID{77, rapid.Byte().Draw(t, "other")}}
				}
				batch = append(batch, r)
			}
			if rapid.Bool().Draw(t, "waited") {
				batch = Aggregate(RefusalState{}, batch)
			}
			if rapid.Bool().Draw(t, "in vain") {
				batch = Together(batch)
			}
			events, _ := RecordRefusals{batch}.Decide(s)
			for _, e := range events {
				r := e.(Refused)
				if r.Citizen == ana {
					recorded, apart = recorded+r.Count, apart+1
				}
				s = EvolveRefusals(s, r)
			}
			if len(s.About) > about {
				t.Fatalf("%d citizens remembered", len(s.About))
			}
		}
		if recorded != tries || apart == 0 && tries > 0 {
			t.Fatalf("%d tries, %d on record in %d facts", tries, recorded, apart)
		}
	})
}

// the state of a day is shared, and forgets citizens rather than growing for ever.
func TestRefusalStateIsBounded(t *testing.T) {
	var s RefusalState
	for i := range 4 * about {
		before, was := s, len(s.About)
		s = EvolveRefusals(s, Refused{Citizen: domain.CitizenID{UUID: uuid.UUID{77, byte(i >> 8), byte(i)}}, At: noon})
		s = EvolveRefusals(s, Refused{At: noon})
		if len(before.About) != was {
			t.Fatal("a state changed after it was handed out")
		}
		if len(s.About) > about {
			t.Fatalf("%d citizens remembered", len(s.About))
		}
	}
	if s.About[Concerned{}] != 4*about {
		t.Errorf("about nobody it forgot: %d", s.About[Concerned{}])
	}
}

// however refusals come, none is lost or counted twice, and the facts of one
// minute stay few.
func TestNoRefusalIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s RefusalState
		asked, recorded := 0, 0
		at := noon
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			var batch []Refused
			for range rapid.IntRange(0, 60).Draw(t, "refusals") {
				at = at.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "s")) * time.Second)
				batch = append(batch, Refused{Consumer: org, Reason: rapid.SampledFrom([]domain.ReasonCode{"noBasis", "other"}).Draw(t, "r"), At: at})
			}
			asked += len(batch)
			events, _ := RecordRefusals{batch}.Decide(s)
			perMinute := make(map[time.Time]int)
			for _, e := range events {
				r := e.(Refused)
				recorded += r.Count
				perMinute[r.At.Truncate(time.Minute)]++
				s = EvolveRefusals(s, e)
			}
			for minute, n := range perMinute {
				if n > ApartPerMinute+2 {
					t.Fatalf("%d facts in %v", n, minute)
				}
			}
		}
		if asked != recorded {
			t.Fatalf("%d asked, %d recorded", asked, recorded)
		}
	})
}

// what is remembered is bounded, newest first, and never changes what was
// handed out.
func TestMemoryIsBounded(t *testing.T) {
	var s State
	var before []string
	var states []State
	for i := range 200 {
		states, before = append(states, s), append(before, fmt.Sprint(s))
		s = Evolve(s, with(lawful, func(e *Authorized) { e.Access = domain.AccessID{UUID: uuid.UUID{9, byte(i)}} }))
		s = Evolve(s, with(lawful, func(e *Authorized) {
			e.Access, e.Attempt = domain.AccessID{UUID: uuid.UUID{9, byte(i)}}, 2
		}))
	}
	for i := range states {
		if fmt.Sprint(states[i]) != before[i] {
			t.Fatal("a state changed after it was handed out")
		}
	}
	q := byLaw.Question
	if n, err := s.Memory.Attempt(domain.AccessID{UUID: uuid.UUID{9, 199}}, q, noon, true); n != 3 || err != nil {
		t.Errorf("the newest: attempt %d, %v", n, err)
	}
	if _, err := s.Memory.Attempt(domain.AccessID{UUID: uuid.UUID{9, 0}}, q, noon, true); !errors.Is(err, ErrAlreadyUsed) {
		t.Errorf("A-8 forgotten, yet answered: %v", err)
	}
	a, errA := byLaw.Decide(s)
	b, errB := byLaw.Decide(s)
	if !reflect.DeepEqual(a, b) || errA != nil || errB != nil {
		t.Error("same question, other answer")
	}
}

// States are shared between goroutines: what follows one never changes it.
func TestImmutable(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		id := accessID(rapid.ByteRange(0, 12).Draw(t, "id"))
		return rapid.SampledFrom([]Event{
			with(lawful, func(e *Authorized) { e.Access = id }), with(lawful, func(e *Authorized) { e.Access, e.Attempt = id, 2 }), Disclosed{Access: id}, with(wasTold, func(e *Told) { e.Access = id }),
		}).Draw(t, "event")
	})
}

func accessID(n byte) domain.AccessID { return domain.AccessID{UUID: uuid.UUID{7, n}} }

// P-5: the basis is judged whatever is restricted, so that by it a consumer learns of no
// restriction, and what is restricted is known before it is loaded.
func TestBasisIsJudgedWhateverIsRestricted(t *testing.T) {
	free, err := byLaw.Basis()
	if err != nil || byLaw.Restricted() {
		t.Fatal(free, err)
	}
	for name, c := range map[string]AuthorizeByLaw{
		"everything":       with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions = everything }),
		"this document":    with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions = citizen.Restrictions{{Document: card, At: noon}} }),
		"without document": with(byLaw, func(c *AuthorizeByLaw) { c.Restrictions, c.Document = everything, document.Snapshot{} }),
	} {
		if fields, err := c.Basis(); err != nil || !slices.Equal(fields, free) || !c.Restricted() {
			t.Errorf("%s: restricted %t, %v, %v", name, c.Restricted(), fields, err)
		}
	}
	one := with(byLaw, func(c *AuthorizeByLaw) {
		c.Restrictions, c.Document = citizen.Restrictions{{Document: card, At: noon}}, document.Snapshot{}
	})
	if one.Restricted() {
		t.Error("a restriction of one document covers whatever else there is")
	}
}
