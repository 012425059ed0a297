package document

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of a document's stream, document-{id}.
type Event interface{ DocumentEvent() }

// Tag is a keyed fingerprint of content: the first 16 bytes of an HMAC under the
// citizen's index key over the RFC 8785 form and the attachments' fingerprints.
// Equal tags mean equal content; it says nothing without the key, and the key dies
// with the citizen's.
type Tag [16]byte

// Issued records that the authentic source attests facts about the citizen. It is
// version 1 of the document.
type Issued struct {
	Document domain.DocumentID   `json:"document"`
	Citizen  domain.CitizenID    `json:"citizen"`
	Type     domain.DocumentType `json:"type"`
	Issuer   domain.Organisation `json:"issuer"`
	// ValidFrom and ValidUntil are inclusive; absent here, and in Personal, when
	// the type declares validityIsPersonal. No ValidUntil means no end.
	ValidFrom        domain.Date           `json:"validFrom,omitempty"`
	ValidUntil       domain.Date           `json:"validUntil,omitempty"`
	PersonalValidity bool                  `json:"personalValidity,omitempty"`
	Categories       []domain.DataCategory `json:"categories,omitempty"`
	// Attachments names the files of this version; what they are is in Personal.
	Attachments []domain.AttachmentID `json:"attachments,omitempty"`
	Tag         Tag                   `json:"tag"`
	At          time.Time             `json:"at"`

	Personal *IssuedPersonal `json:"-"`
}

// IssuedPersonal is sealed under the document's content key.
type IssuedPersonal struct {
	SourceReference string      `json:"sourceReference"`
	Content         domain.JSON `json:"content"`
	ValidFrom       domain.Date `json:"validFrom,omitempty"`
	ValidUntil      domain.Date `json:"validUntil,omitempty"`
	// Attachments stand in the order of those in clear.
	Attachments []Attachment `json:"attachments,omitempty"`
}

// Updated records a new version, whose content replaces the former whole (rule D-3).
type Updated struct {
	Document      domain.DocumentID `json:"document"`
	Version       int               `json:"version"`  // of the new content, from 2
	Replaces      int               `json:"replaces"` // Version - 1
	Reason        domain.ReasonCode `json:"reason,omitempty"`
	EffectiveFrom domain.Date       `json:"effectiveFrom,omitempty"`
	ValidFrom     domain.Date       `json:"validFrom,omitempty"`
	ValidUntil    domain.Date       `json:"validUntil,omitempty"`
	// Attachments names the files of this version: those of the version it replaces
	// belong to it only if they are named again.
	Attachments []domain.AttachmentID `json:"attachments,omitempty"`
	Tag         Tag                   `json:"tag"`
	At          time.Time             `json:"at"`

	Personal *UpdatedPersonal `json:"-"`
}

// UpdatedPersonal is sealed under the document's content key. Dates stand here,
// and not in clear, when the type declares validityIsPersonal.
type UpdatedPersonal struct {
	Content       domain.JSON `json:"content"`
	EffectiveFrom domain.Date `json:"effectiveFrom,omitempty"`
	ValidFrom     domain.Date `json:"validFrom,omitempty"`
	ValidUntil    domain.Date `json:"validUntil,omitempty"`
	// Attachments stand in the order of those in clear.
	Attachments []Attachment `json:"attachments,omitempty"`
}

// Revoked records that the issuer takes the document back, for good (rule D-2).
type Revoked struct {
	Document      domain.DocumentID `json:"document"`
	Reason        domain.ReasonCode `json:"reason"`
	EffectiveFrom domain.Date       `json:"effectiveFrom"`
	At            time.Time         `json:"at"`
}

// Suspended records that the document is not to be relied on until it is reinstated.
type Suspended struct {
	Document domain.DocumentID `json:"document"`
	Reason   domain.ReasonCode `json:"reason"`
	At       time.Time         `json:"at"`
}

// Reinstated records that the suspension of a document is over.
type Reinstated struct {
	Document domain.DocumentID `json:"document"`
	Reason   domain.ReasonCode `json:"reason,omitempty"`
	At       time.Time         `json:"at"`
}

// ContentDestroyed records that the document's content key is gone; its facts in clear
// stay.
type ContentDestroyed struct {
	Document   domain.DocumentID `json:"document"`
	Erasure    domain.ErasureID  `json:"erasure"`
	Key        string            `json:"key"`
	Unreadable int64             `json:"unreadable"`
	Digest     []byte            `json:"digest"`
	At         time.Time         `json:"at"`
}

func (Issued) DocumentEvent()           {}
func (Updated) DocumentEvent()          {}
func (Revoked) DocumentEvent()          {}
func (Suspended) DocumentEvent()        {}
func (Reinstated) DocumentEvent()       {}
func (ContentDestroyed) DocumentEvent() {}

const hexDigits = "0123456789abcdef"

// MarshalText writes the tag as 32 lower-case hexadecimal digits.
func (t Tag) MarshalText() ([]byte, error) {
	out := make([]byte, 0, 2*len(t))
	for _, b := range t {
		out = append(out, hexDigits[b>>4], hexDigits[b&15])
	}
	return out, nil
}

var errBadTag = domain.NewError(domain.Invalid, "invalidTag", "a content tag has 32 hexadecimal digits")

// UnmarshalText reads what MarshalText wrote.
func (t *Tag) UnmarshalText(b []byte) error {
	if len(b) != 2*len(t) {
		return errBadTag
	}
	for i := range t {
		hi, lo := nibble(b[2*i]), nibble(b[2*i+1])
		if hi > 15 || lo > 15 {
			return errBadTag
		}
		t[i] = hi<<4 | lo
	}
	return nil
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
