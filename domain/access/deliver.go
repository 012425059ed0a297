package access

import (
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
)

// ErrNotWrittenTo refuses to write to a citizen who is not living, or not known.
var ErrNotWrittenTo = domain.NewError(domain.Conflict, "notWrittenTo", "messages go to living citizens whom the vault knows")

// AuthorizeDelivery lets Coffre send a citizen a message by way of an organisation that
// delivers it. The organisation learns the citizen's national number and what the message
// says; nothing that a document holds is opened for it.
type AuthorizeDelivery struct {
	Access       domain.AccessID
	Citizen      domain.CitizenID
	Carrier      domain.Organisation // that delivers
	Document     *domain.DocumentID  // the one that the message is about; nil: none, or several
	Type         domain.DocumentType // likewise
	Purpose      domain.Purpose
	LegalBasis   domain.LegalBasis
	Deliberation domain.Deliberation
	Standing     citizen.Standing
	Restrictions citizen.Restrictions
	By           domain.Actor
	At           time.Time
}

// Decide implements A-13.
func (c AuthorizeDelivery) Decide(State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RoleSystem, c.Carrier.IsZero(), c.Purpose == "", c.LegalBasis == "", c.Deliberation == "":
		return nil, ErrNoBasis
	case c.Standing == citizen.Erasing, c.Standing == citizen.Erased:
		return nil, ErrDocumentGone
	case c.Standing != citizen.Living:
		return nil, ErrNotWrittenTo
	}
	e := Authorized{
		Access: c.Access, Citizen: c.Citizen, Kind: OpenedDelivery, Role: domain.RoleSystem, Consumer: c.Carrier, Type: c.Type,
		Purpose: c.Purpose, LegalBasis: c.LegalBasis, Deliberation: c.Deliberation, Attempt: 1, At: c.At,
	}
	var document domain.DocumentID
	if c.Document != nil {
		document, e.Document = *c.Document, *c.Document
	}
	if c.Restrictions.Cover(document) {
		return nil, ErrRestricted
	}
	return []Event{e}, nil
}
