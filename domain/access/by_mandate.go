package access

import (
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/domain/registry"
)

// AuthorizeByMandate lets a representative read for another: their wallet, one
// document, its versions or one of its files. One is recorded per request.
type AuthorizeByMandate struct {
	Access     domain.AccessID
	Citizen    domain.CitizenID
	Kind       Opened                // OpenedWallet, OpenedDocument, OpenedVersions or OpenedAttachment
	Type       registry.DocumentType // of the document; zero for a wallet
	Document   document.Snapshot     // of today; zero for a wallet
	Attachment *domain.AttachmentID  // for OpenedAttachment
	Mandate    mandate.InForce
	Standing   citizen.Standing // the represented person's
	By         domain.Actor
	At         time.Time
}

// Decide implements M-1.2, M-1.6, M-1.8 and A-6.
func (c AuthorizeByMandate) Decide(State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RoleRepresentative || !c.Mandate.Allows(c.By.Citizen, c.Citizen, mandate.Read):
		return nil, ErrNoBasis
	case c.Standing != citizen.Living: // M-1.8
		return nil, ErrNoBasis
	case (c.Kind == OpenedAttachment) == (c.Attachment == nil):
		return nil, ErrQuestion
	}
	switch c.Kind {
	case OpenedWallet:
		if !c.Document.Document.IsZero() {
			return nil, ErrQuestion
		}
	case OpenedDocument, OpenedVersions, OpenedAttachment:
		if c.Document.Citizen != c.Citizen || c.Document.Type != c.Type.Name || !c.Mandate.Holds(c.Type, domain.BelgianDate(c.At)) {
			return nil, ErrNoBasis
		}
		if c.Document.Status == document.IsErased {
			return nil, ErrDocumentGone
		}
	default:
		return nil, ErrQuestion
	}
	e := Authorized{
		Access: c.Access, Citizen: c.Citizen, Kind: c.Kind, Role: c.By.Role, Reader: c.By.Citizen,
		Document: c.Document.Document, Version: c.Document.Version, Type: c.Document.Type,
		Mandate: c.Mandate.ID, Attempt: 1, At: c.At,
	}
	if c.Attachment != nil {
		e.Attachment = *c.Attachment
	}
	return []Event{e}, nil
}
