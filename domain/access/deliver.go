package access

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
)

// AuthorizeDelivery lets Coffre itself open something to send it, under the
// legal basis of the sending.
type AuthorizeDelivery struct {
	Access  domain.AccessID
	Citizen domain.CitizenID
	Question
	To           domain.Organisation // absent: the citizen
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
	Standing     citizen.Standing
	Seen         bool
	By           domain.Actor
	At           time.Time
}

// Decide implements for what Coffre sends of its own accord. What
// is sent to an organisation is bounded by rule A-2.
func (c AuthorizeDelivery) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RoleSystem || c.LegalBasis == "" || c.Purpose == "" ||
		c.Document.Citizen != c.Citizen || c.Citizen.IsZero() || c.Document.Type != c.Type.Name {
		return nil, ErrNoBasis
	}
	fields := slices.Clone(c.Fields)
	if !c.To.IsZero() {
		if c.Deliberation == "" {
			return nil, ErrNoBasis
		}
		var err error
		if fields, err = c.Covered(nil); err != nil {
			return nil, err
		}
	}
	if c.Standing != citizen.Living && c.Standing != citizen.Dead {
		return nil, ErrDocumentGone
	}
	if err := c.Held(); err != nil {
		return nil, err
	}
	attempt, err := s.Memory.Attempt(c.Access, Question{Kind: KindDelivery, Document: c.Document}, c.At, c.Seen)
	if err != nil {
		return nil, err
	}
	return []Event{Authorized{
		Access: c.Access, Citizen: c.Citizen, Kind: KindDelivery, Role: c.By.Role, Consumer: c.To,
		Document: c.Document.Document, Version: c.Document.Version, Type: c.Type.Name, Purpose: c.Purpose, Procedure: c.Procedure,
		LegalBasis: c.LegalBasis, Deliberation: c.Deliberation, Fields: fields, Attempt: attempt, At: c.At,
	}}, nil
}
