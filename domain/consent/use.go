package consent

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/registry"
)

var (
	ErrWithdrawn    = domain.NewError(domain.Forbidden, "consentWithdrawn", "the consent was withdrawn, or ended with the citizen's death")
	ErrExpired      = domain.NewError(domain.Forbidden, "consentExpired", "the consent has expired")
	ErrExhausted    = domain.NewError(domain.Forbidden, "consentExhausted", "the consent was used as often as was agreed")
	ErrTooOften     = domain.NewError(domain.Forbidden, "consentFrequency", "the consent allows no further use yet")
	ErrOtherPurpose = domain.NewError(domain.Forbidden, "consentOtherPurpose", "the consent is for another purpose")
	ErrRefused      = domain.NewError(domain.Forbidden, "consentRefused", "the citizen refused this consent")
)

// Use reads a document under the consent. It is appended at the revision its
// decision saw, so a withdrawal in between is met.
type Use struct {
	Access domain.AccessID
	access.Question
	Registrations []registry.Registration // the consumer's, in the registry in force
	Standing      citizen.Standing        // the citizen's, by their own stream
	Restrictions  citizen.Restrictions    // the citizen's, by the same
	Revived       time.Time               // when a death of the citizen was corrected; zero: never
	CaseReference string
	Seen          bool // this access's key was met before
	By            domain.Actor
	At            time.Time
}

// Decide implements C-3, C-4, A-2, A-6, A-8 and P-5.
func (c Use) Decide(s State) ([]Event, error) {
	fields, attempt, err := c.judge(s)
	if err != nil {
		return nil, err
	}
	e := access.Authorized{
		Access: c.Access, Citizen: s.Citizen, Kind: c.Kind, Role: c.By.Role, Consumer: c.By.Organisation,
		Document: c.Document.Document, Attachment: c.Attachment, Version: c.Document.Version, Type: c.Type.Name,
		Purpose: c.Purpose, Procedure: c.Procedure, Consent: s.Consent,
		Fields: fields, Predicate: string(c.Predicate), Attempt: attempt, At: c.At,
	}
	if c.CaseReference != "" {
		e.Personal = &access.AuthorizedPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}

// Validate tells whether this use would be lawful now, and why not, by the same
// judgement and without recording anything (rule C-3).
func (c Use) Validate(s State) error {
	_, _, err := c.judge(s)
	return err
}

// Basis judges the consent alone, whatever is held and restricted (rules C-3, A-2, A-4 and
// A-6), and returns the fields it covers. Limits on use count for a use that is new.
func (c Use) Basis(s State) ([]domain.Field, error) {
	switch {
	case s.Phase == None || s.Phase == IsRequested: // until it is answered, nobody may have been asked
		return nil, access.ErrNoBasis
	case c.By.Role != domain.RoleConsumer || c.By.Organisation.IsZero() || c.By.Organisation != s.Terms.Consumer:
		return nil, access.ErrNoBasis
	case s.Phase == IsWithdrawn: // C-4
		return nil, ErrWithdrawn
	case s.Phase == IsGranted && !s.GrantedAt.After(c.Revived): // P-6: the death ended it
		return nil, ErrWithdrawn
	case s.Phase != IsGranted:
		return nil, ErrRefused
	case !c.At.Before(s.Terms.Until):
		return nil, ErrExpired
	case c.Purpose != s.Terms.Purpose:
		return nil, ErrOtherPurpose
	case len(s.Terms.Types) > 0 && !slices.Contains(s.Terms.Types, c.Type.Name),
		len(s.Terms.Documents) > 0 && !c.Document.Document.IsZero() && !slices.Contains(s.Terms.Documents, c.Document.Document):
		return nil, access.ErrNoBasis
	case !c.inItsProcedure():
		return nil, access.ErrNoBasis
	}
	return c.Covered(s.Terms.Fields)
}

// Restricted implements P-5: it reports whether a restriction of processing stops the use. A
// consent that was given before the restriction was asked for does not count. Without a
// document it is asked of restrictions of everything.
func (c Use) Restricted(s State) bool {
	return c.Restrictions.CoverDespite(c.Document.Document, s.GrantedAt)
}

// Lacking returns the word for which Basis refused with access.ErrNoBasis: the consent, when it
// is not one that its citizen gave this consumer, or the type of document; "" for any other
// reason. Only a consumer who has some basis may hear it (rule A-6).
func (c Use) Lacking(s State) access.Word {
	switch {
	case s.Phase == None || s.Phase == IsRequested || c.By.Role != domain.RoleConsumer || c.By.Organisation != s.Terms.Consumer:
		return access.WordConsent
	case len(s.Terms.Types) > 0 && !slices.Contains(s.Terms.Types, c.Type.Name):
		return access.WordDocumentType
	case !c.inItsProcedure():
		return access.WordProcedure
	}
	return ""
}

// inItsProcedure reports whether the procedure, where one is named, is the consumer's for the
// purpose and type: what may be learnt can depend on it (rule A-2), and the citizen sees it.
func (c Use) inItsProcedure() bool {
	return c.Procedure == "" || slices.ContainsFunc(c.Registrations, func(r registry.Registration) bool {
		return r.Purpose == c.Purpose && slices.Contains(r.Types, c.Type.Name) && r.CoversProcedure(c.Procedure)
	})
}

// limits implements the limits of C-3 for one use more.
func (c Use) limits(s State) error {
	if left, limited := s.UsesLeft(); limited && left == 0 {
		return ErrExhausted
	}
	f := s.Terms.Limits.Frequency
	if f.Uses == 0 {
		return nil
	}
	since, recent := c.At.Add(-f.Per.length()), 0
	for _, used := range s.Times {
		if used.After(since) {
			recent++
		}
	}
	if recent >= f.Uses {
		return ErrTooOften
	}
	return nil
}

func (c Use) judge(s State) ([]domain.Field, int, error) {
	fields, err := c.Basis(s)
	if err != nil {
		return nil, 0, err
	}
	attempt, err := s.Memory.Attempt(c.Access, c.Question, c.At, c.Seen)
	if err != nil {
		return nil, 0, err
	}
	if attempt == 1 {
		if err := c.limits(s); err != nil {
			return nil, 0, err
		}
	}
	switch c.Standing {
	case citizen.Living:
	case citizen.Dead:
		return nil, 0, ErrWithdrawn
	case citizen.Erasing, citizen.Erased:
		return nil, 0, access.ErrErased
	default:
		return nil, 0, access.ErrNoBasis
	}
	d := c.Document
	switch {
	case d.Citizen != s.Citizen || d.Type != c.Type.Name || d.IssuedAt.After(s.GrantedAt), // C-2
		len(s.Terms.Documents) > 0 && !slices.Contains(s.Terms.Documents, d.Document):
		return nil, 0, access.ErrNoBasis
	case c.Restricted(s): // counts as not held
		return nil, 0, access.ErrRestricted
	}
	if err := c.Held(); err != nil {
		return nil, 0, err
	}
	return fields, attempt, nil
}
