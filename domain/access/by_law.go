package access

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
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
	Seen          bool // this access's key was met before
	By            domain.Actor
	At            time.Time
}

// Decide implements and P-5.
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
	if c.CaseReference != "" {
		e.Personal = &AuthorizedPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}

// Basis judges the basis alone, whatever is held (rules and P-5), and
// returns the fields it covers. Where processing is restricted only a basis counts that
// the registry says is for a ground of GDPR art. 18(2).
func (c AuthorizeByLaw) Basis() ([]domain.Field, error) {
	registered := func(counts func(registry.Basis) bool) bool {
		return slices.ContainsFunc(c.Registrations, func(r registry.Registration) bool {
			return r.Purpose == c.Purpose && slices.Contains(r.Types, c.Type.Name) && slices.ContainsFunc(r.Bases, counts) && r.CoversProcedure(c.Procedure)
		})
	}
	named := func(b registry.Basis) bool { return b.LegalBasis == c.LegalBasis && b.Deliberation == c.Deliberation }
	despite := func(b registry.Basis) bool { return named(b) && b.DespiteRestriction != "" }
	switch {
	case c.By.Role != domain.RoleConsumer || c.By.Organisation.IsZero(),
		c.Purpose == "" || c.LegalBasis == "" || c.Deliberation == "" || c.Type.Name == "",
		!registered(named):
		return nil, ErrNoBasis
	case c.Restrictions.Cover(c.Document.Document) && !registered(despite): // P-5
		return nil, ErrRestricted
	}
	return c.Covered(nil)
}

// held refuses for what the vault holds, which is judged after the basis: the citizen
// and the document.
func (c AuthorizeByLaw) held() error {
	switch c.Standing {
	case citizen.Living, citizen.Dead:
	case citizen.Erasing, citizen.Erased:
		return ErrDocumentGone
	default:
		return ErrNoBasis
	}
	if c.Document.Citizen != c.Citizen || c.Document.Type != c.Type.Name {
		return ErrNoBasis
	}
	return c.Held()
}
