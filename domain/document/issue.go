package document

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

var (
	ErrNotIssuer           = domain.NewError(domain.Forbidden, "notIssuer", "this organisation is not the authentic source of this type of document; GET /registry lists the issuers of each type")
	ErrUnknownType         = domain.NewError(domain.Invalid, "unknownDocumentType", "no such type of document is issued any more, or ever was; documentTypes of GET /registry has those that are")
	ErrValidity            = domain.NewError(domain.Invalid, "invalidValidity", "validity has a first day, which is not after its last")
	ErrIncomplete          = domain.NewError(domain.Invalid, "documentIncomplete", "a document has content and a source reference")
	ErrSupersededContent   = domain.NewError(domain.Conflict, "supersededContent", "this content was replaced by a newer version")
	ErrAlreadyIssued       = domain.NewError(domain.Conflict, "documentAlreadyIssued", "the document exists with other content; call update to replace it")
	ErrRevoked             = domain.NewError(domain.Conflict, "documentRevoked", "the document is revoked, for good")
	ErrContentDestroyed    = domain.NewError(domain.Gone, "documentErased", "the document's content was erased")
	ErrNotFound            = domain.NewError(domain.NotFound, "documentNotFound", "no such document")
	ErrReasonMissing       = domain.NewError(domain.Invalid, "reasonMissing", "a reason is needed")
	ErrStale               = domain.NewError(domain.Stale, "documentVersionStale", "the document has another version than the request says")
	ErrEffectiveFrom       = domain.NewError(domain.Invalid, "effectiveFromMissing", "the day from which this applies is needed")
	ErrRevokedBeforeIssued = domain.NewError(domain.Invalid, "effectiveBeforeIssue", "a revocation applies from the day of issue at the earliest")
	ErrNotSuspended        = domain.NewError(domain.Conflict, "documentNotSuspended", "the document is not suspended")
)

// Issue attests facts about a citizen. Its content satisfied the type's schema
// (rule D-5) before it came here.
type Issue struct {
	Document        domain.DocumentID // made from citizen, issuer, type and source reference (rule D-4)
	Citizen         domain.CitizenID
	Type            registry.DocumentType // as the registry in force has it; zero when it has none
	SourceReference string
	ValidFrom       domain.Date
	ValidUntil      domain.Date // absent: no end
	Content         domain.JSON
	Attachments     []Attachment
	Tag             Tag // of Content and Attachments
	By              domain.Actor
	At              time.Time
}

// Decide implements D-1, D-4, the part of D-5 that needs no schema, and D-6. No
// events and no refusal mean that the document holds this content already.
func (c Issue) Decide(s State) ([]Event, error) {
	switch {
	case c.Type.Name == "": // D-5
		return nil, ErrUnknownType
	case c.By.Role != domain.RoleIssuer || c.By.Organisation.IsZero() || !slices.Contains(c.Type.Issuers, c.By.Organisation): // D-1
		return nil, ErrNotIssuer
	case s.Exists():
		return nil, c.again(s)
	case c.Type.Retired: // D-5
		return nil, ErrUnknownType
	case c.SourceReference == "" || len(c.Content) == 0:
		return nil, ErrIncomplete
	case c.ValidFrom.IsZero() || !c.ValidUntil.IsZero() && c.ValidUntil.Before(c.ValidFrom): // D-6
		return nil, ErrValidity
	}
	attachments, err := attachmentIDs(c.Attachments)
	if err != nil {
		return nil, err
	}
	e := Issued{
		Document: c.Document, Citizen: c.Citizen, Type: c.Type.Name, Issuer: c.By.Organisation,
		PersonalValidity: c.Type.ValidityIsPersonal, Categories: slices.Clone(c.Type.Categories), Attachments: attachments, Tag: c.Tag, At: c.At,
		Personal: &IssuedPersonal{SourceReference: c.SourceReference, Content: c.Content, Attachments: slices.Clone(c.Attachments)},
	}
	if e.PersonalValidity {
		e.Personal.ValidFrom, e.Personal.ValidUntil = c.ValidFrom, c.ValidUntil
	} else {
		e.ValidFrom, e.ValidUntil = c.ValidFrom, c.ValidUntil
	}
	return []Event{e}, nil
}

// again implements D-4 for a document that exists.
func (c Issue) again(s State) error {
	if s.Issuer != c.By.Organisation || s.Citizen != c.Citizen || s.Type != c.Type.Name { // D-1
		return ErrNotIssuer
	}
	known := slices.IndexFunc(s.Versions, func(v Version) bool { return v.Tag == c.Tag })
	switch {
	case s.Erased:
		return ErrContentDestroyed
	case !s.Revocation.IsZero():
		return ErrRevoked
	case s.Versions[len(s.Versions)-1].Tag == c.Tag:
		return nil
	case known >= 0:
		return ErrSupersededContent
	}
	return ErrAlreadyIssued
}
