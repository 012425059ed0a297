package access

import (
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
)

// ErrReadBackRestricted refuses to read a document back while its processing is restricted.
var ErrReadBackRestricted = domain.NewError(domain.Forbidden, "processingRestricted", "processing of this document is restricted (GDPR art. 18): it may be corrected or revoked, and is not disclosed")

// AuthorizeReadBack lets an issuer read what it issued. It needs no other basis.
type AuthorizeReadBack struct {
	Access     domain.AccessID
	Kind       Opened // OpenedReadBack, OpenedVersions or OpenedAttachment
	Document   document.Snapshot
	Attachment *domain.AttachmentID // for OpenedAttachment
	// Restrictions are those of the citizen whose document it is.
	Restrictions citizen.Restrictions
	By           domain.Actor
	At           time.Time
}

// Decide implements D-1, A-6 and P-5: what another issued is not there. The issuer may know
// that processing of its document is restricted.
func (c AuthorizeReadBack) Decide(State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RoleIssuer || c.By.Organisation.IsZero() || c.By.Organisation != c.Document.Issuer:
		return nil, ErrNoBasis
	case c.Kind != OpenedReadBack && c.Kind != OpenedVersions && c.Kind != OpenedAttachment, (c.Kind == OpenedAttachment) == (c.Attachment == nil):
		return nil, ErrQuestion
	case c.Document.Status == document.IsErased:
		return nil, ErrDocumentGone
	case c.Restrictions.Cover(c.Document.Document):
		return nil, ErrReadBackRestricted
	}
	e := Authorized{
		Access: c.Access, Citizen: c.Document.Citizen, Kind: c.Kind, Role: c.By.Role, Consumer: c.By.Organisation,
		Document: c.Document.Document, Version: c.Document.Version, Type: c.Document.Type, Attempt: 1, At: c.At,
	}
	if c.Attachment != nil {
		e.Attachment = *c.Attachment
	}
	return []Event{e}, nil
}
