package access

import (
	"slices"
	"time"

	"coffre/domain"
)

// Presence is what a consumer is told of a type of document without being told
// anything that stands in one.
type Presence string

const (
	Held        Presence = "held" // valid today
	NotHeld     Presence = "notHeld"
	NotYetValid Presence = "notYetValid"
	Expired     Presence = "expired"
	Suspended   Presence = "suspended"
	Revoked     Presence = "revoked"
)

var presences = []Presence{Held, NotHeld, NotYetValid, Expired, Suspended, Revoked}

// Answer is what is told of one type of document: the state of the document that answers
// best, with its id and today's version. NotHeld has neither; the version is 0 while it
// cannot be told, because dates are sealed.
type Answer struct {
	Type     domain.DocumentType `json:"type"`
	Presence Presence            `json:"presence"`
	Document domain.DocumentID   `json:"document,omitzero"`
	Version  int                 `json:"version,omitempty"`
}

// valid reports whether an answer names a document exactly when it speaks of one.
func (a Answer) valid() bool {
	return a.Type != "" && slices.Contains(presences, a.Presence) && (a.Presence == NotHeld) == a.Document.IsZero() && a.Version >= 0 && (a.Version == 0 || !a.Document.IsZero())
}

// RecordTold records what a query tells of presence, state or absence and of nothing
// else. The caller judged the basis, which names a consent or a law. Of a person whom the
// vault does not know only absence can be told, and no case reference is kept: no key
// could ever be destroyed to forget it.
type RecordTold struct {
	Access        domain.AccessID
	Citizen       domain.CitizenID // absent for somebody whom the vault does not know
	Purpose       domain.Purpose
	Procedure     domain.Procedure
	Consent       *domain.ConsentID // nil: by law
	LegalBasis    domain.LegalBasis
	Deliberation  domain.Deliberation
	Answers       []Answer
	CaseReference string
	Investigation domain.InvestigationID // the caller judged that it covers the query; zero for none
	By            domain.Actor
	At            time.Time
}

// Decide implements.
func (c RecordTold) Decide(State) ([]Event, error) {
	unknown := c.Citizen.IsZero()
	switch {
	case c.By.Role != domain.RoleConsumer || c.By.Organisation.IsZero(), c.Access.IsZero(), c.Purpose == "",
		(c.Consent == nil) == (c.LegalBasis == ""), (c.LegalBasis == "") != (c.Deliberation == ""), unknown && c.Consent != nil, !c.Investigation.IsZero() && c.Consent != nil:
		return nil, ErrNoBasis
	case len(c.Answers) == 0, slices.ContainsFunc(c.Answers, func(a Answer) bool { return !a.valid() || unknown && a.Presence != NotHeld }):
		return nil, ErrQuestion
	}
	e := Told{
		Access: c.Access, Citizen: c.Citizen, Consumer: c.By.Organisation, Purpose: c.Purpose, Procedure: c.Procedure,
		LegalBasis: c.LegalBasis, Deliberation: c.Deliberation, Answers: slices.Clone(c.Answers), At: c.At,
	}
	if c.Consent != nil {
		e.Consent = *c.Consent
	}
	if !unknown {
		e.Investigation = c.Investigation
	}
	if c.CaseReference != "" && !unknown {
		e.Personal = &AuthorizedPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}
