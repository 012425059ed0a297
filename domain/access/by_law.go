package access

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/investigation"
	"coffre/domain/registry"
)

// AuthorizeByLaw lets a consumer read under a legal basis.
type AuthorizeByLaw struct {
	Access  domain.AccessID
	Citizen domain.CitizenID
	Question
	LegalBasis    domain.LegalBasis
	Deliberation  domain.Deliberation
	Registrations []registry.Registration // the consumer's, in the registry in force; none when it is retired
	Standing      citizen.Standing        // the citizen's, by their own stream
	Restrictions  citizen.Restrictions    // the citizen's, by the same
	CaseReference string
	// Investigation is the one that the consumer names; nil for none.
	Investigation *investigation.State
	Seen          bool // this access's key was met before
	By            domain.Actor
	At            time.Time
}

// Decide implements, H-4 to H-6 and P-5.
func (c AuthorizeByLaw) Decide(s State) ([]Event, error) {
	fields, err := c.Basis()
	if err != nil {
		return nil, err
	}
	if err := c.held(); err != nil {
		return nil, err
	}
	attempt, err := s.Memory.Attempt(c.Access, c.Question, c.At, c.Seen)
	if err != nil {
		return nil, err
	}
	e := Authorized{
		Access: c.Access, Citizen: c.Citizen, Kind: c.Kind, Role: c.By.Role, Consumer: c.By.Organisation,
		Document: c.Document.Document, Attachment: c.Attachment, Version: c.Document.Version, Type: c.Type.Name,
		Purpose: c.Purpose, Procedure: c.Procedure, LegalBasis: c.LegalBasis, Deliberation: c.Deliberation,
		Fields: fields, Predicate: string(c.Predicate), Attempt: attempt, At: c.At,
	}
	e.Investigation = c.Under()
	if c.CaseReference != "" {
		e.Personal = &AuthorizedPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}

// Basis judges the basis alone, whatever is held and restricted (rules and H-4), and
// returns the fields it covers.
func (c AuthorizeByLaw) Basis() ([]domain.Field, error) {
	switch {
	case c.By.Role != domain.RoleConsumer || c.By.Organisation.IsZero(),
		c.Purpose == "" || c.LegalBasis == "" || c.Deliberation == "" || c.Type.Name == "",
		!c.registered(func(registry.Basis) bool { return true }), !c.stands():
		return nil, ErrNoBasis
	case c.Investigation != nil && c.CaseReference != "":
		return nil, ErrCaseHidden
	}
	return c.Covered(nil)
}

// Under returns the investigation that covers the reading, and so hides it and whatever is
// refused of it (rule H-4); the zero id for none.
func (c AuthorizeByLaw) Under() (none domain.InvestigationID) {
	if c.Investigation == nil || !c.stands() {
		return none
	}
	return c.Investigation.Investigation
}

// stands reports whether the investigation that the consumer names covers the reading (rule
// H-4); without one, there is nothing to cover it.
func (c AuthorizeByLaw) stands() bool {
	return c.Investigation == nil || c.Investigation.Hides(investigation.Grounds{
		Organisation: c.By.Organisation, Purpose: c.Purpose, LegalBasis: c.LegalBasis, Deliberation: c.Deliberation,
	}, c.At)
}

// registered reports whether the consumer has a registration with all that the command
// names, by a basis that counts.
func (c AuthorizeByLaw) registered(counts func(registry.Basis) bool) bool {
	named := func(b registry.Basis) bool {
		return b.LegalBasis == c.LegalBasis && b.Deliberation == c.Deliberation && counts(b)
	}
	return slices.ContainsFunc(c.Registrations, func(r registry.Registration) bool {
		return r.Purpose == c.Purpose && slices.Contains(r.Types, c.Type.Name) && slices.ContainsFunc(r.Bases, named) && r.CoversProcedure(c.Procedure)
	})
}

// Restricted implements P-5: it reports whether a restriction of processing stops the reading.
// Where one covers the document only a basis counts that the registry says is for a ground of
// GDPR art. 18(2). Without a document it is asked of restrictions of everything.
func (c AuthorizeByLaw) Restricted() bool {
	return c.Restrictions.Cover(c.Document.Document) && !c.registered(func(b registry.Basis) bool { return b.DespiteRestriction != "" })
}

// held refuses for what the vault holds, which is judged after the basis: the citizen
// and the document. What is restricted counts as not held.
func (c AuthorizeByLaw) held() error {
	switch c.Standing {
	case citizen.Living, citizen.Dead:
	case citizen.Erasing, citizen.Erased:
		return ErrErased
	default:
		return ErrNoBasis
	}
	switch {
	case c.Document.Citizen != c.Citizen || c.Document.Type != c.Type.Name:
		return ErrNoBasis
	case c.Restricted():
		return ErrRestricted
	}
	return c.Held()
}
