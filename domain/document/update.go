package document

import (
	"slices"
	"time"

	"coffre/domain"
)

// Update replaces the content whole. Like every change it is the issuer's; to
// anybody else the document does not exist.
type Update struct {
	Expected      Expectation // the version it replaces
	Reason        domain.ReasonCode
	EffectiveFrom domain.Date
	ValidFrom     domain.Date // absent, with ValidUntil: the validity stays as it is
	ValidUntil    domain.Date
	Content       domain.JSON
	Attachments   []Attachment // of the new version, whole
	Tag           Tag          // of Content and Attachments
	By            domain.Actor
	At            time.Time
}

// Decide implements D-1, D-2, D-3 and D-6.
func (c Update) Decide(s State) ([]Event, error) {
	if err := s.changeable(c.By, c.Expected); err != nil { // D-1, D-2, D-3
		return nil, err
	}
	switch {
	case len(c.Content) == 0:
		return nil, ErrIncomplete
	case c.EffectiveFrom.IsZero(): // D-3
		return nil, ErrEffectiveFrom
	case !c.ValidUntil.IsZero() && c.ValidUntil.Before(c.ValidFrom), c.ValidFrom.IsZero() && !c.ValidUntil.IsZero(): // D-6
		return nil, ErrValidity
	}
	attachments, err := attachmentIDs(c.Attachments)
	if err != nil {
		return nil, err
	}
	e := Updated{
		Document: s.Document, Version: s.Current() + 1, Replaces: s.Current(), Reason: c.Reason, Attachments: attachments, Tag: c.Tag, At: c.At,
		Personal: &UpdatedPersonal{Content: c.Content, Attachments: slices.Clone(c.Attachments)},
	}
	if s.PersonalValidity {
		e.Personal.EffectiveFrom, e.Personal.ValidFrom, e.Personal.ValidUntil = c.EffectiveFrom, c.ValidFrom, c.ValidUntil
	} else {
		e.EffectiveFrom, e.ValidFrom, e.ValidUntil = c.EffectiveFrom, c.ValidFrom, c.ValidUntil
	}
	return []Event{e}, nil
}

// changeable implements what every change needs: the issuer (D-1), content that
// was not erased, no revocation (D-2), and the version the caller expects (D-3).
func (s State) changeable(by domain.Actor, expected Expectation) error {
	switch {
	case !s.Exists() || by.Role != domain.RoleIssuer || by.Organisation != s.Issuer:
		return ErrNotFound
	case s.Erased:
		return ErrContentDestroyed
	case !s.Revocation.IsZero():
		return ErrRevoked
	case !expected.metBy(s.Current()):
		return ErrStale
	}
	return nil
}
