// Package domain holds the words every part of Coffre shares: identifiers,
// citizens' and organisations' official numbers, civil dates, actors, and the
// refusals the rules answer with. The rules themselves live one folder down, one
// package per kind of stream.
//
// Invariant: nothing under domain reads a clock, draws a random number, logs or
// performs I/O. Time, identifiers and opened personal facts arrive inside
// commands. A test at the root of the module keeps it so.
package domain

import "github.com/google/uuid"

// Identifiers are UUIDs that Coffre made. None is derived from a person in a way
// that an outsider could repeat, so all of them may stand in clear in the log.
// The zero value means "none". They are comparable and safe to copy.
type (
	// CitizenID is the random pseudonym of a natural person. Only the log and the
	// citizen see it; organisations get a CitizenRef instead.
	CitizenID struct{ uuid.UUID }

	// CitizenRef is what one organisation gets instead of a CitizenID. It is
	// random per (organisation, citizen), so two organisations cannot join data.
	CitizenRef struct{ uuid.UUID }

	// DocumentID names one document, all its versions included. It is a UUID made
	// from an HMAC under the citizen's index key (rule D-4).
	DocumentID struct{ uuid.UUID }

	// ConsentID names one consent, from the moment it is asked for or granted.
	ConsentID struct{ uuid.UUID }

	// MandateID names one mandate, from the moment it is granted.
	MandateID struct{ uuid.UUID }

	// AccessID names one authorised disclosure.
	AccessID struct{ uuid.UUID }

	// ErasureID names one request for erasure.
	ErasureID struct{ uuid.UUID }

	// HoldID names one legal hold.
	HoldID struct{ uuid.UUID }

	// RestrictionID names one restriction of processing.
	RestrictionID struct{ uuid.UUID }

	// CorrectionID names one proposal to correct what a citizen's stream says of the person.
	CorrectionID struct{ uuid.UUID }

	// PetitionID names one petition of a citizen to an organisation.
	PetitionID struct{ uuid.UUID }

	// EntryID names one entry of an access log: the event that it shows.
	EntryID struct{ uuid.UUID }

	// ReleaseID names one release of an erased person's number.
	ReleaseID struct{ uuid.UUID }

	// InvestigationID names one investigation, whose accesses stay hidden until it is lifted.
	InvestigationID struct{ uuid.UUID }

	// AttachmentID names one file that belongs, or is to belong, to a document.
	AttachmentID struct{ uuid.UUID }
)

// IsZero reports whether the identifier is absent. encoding/json's omitzero uses it.
func (id CitizenID) IsZero() bool  { return id.UUID == uuid.Nil }
func (id CitizenRef) IsZero() bool { return id.UUID == uuid.Nil }
func (id DocumentID) IsZero() bool { return id.UUID == uuid.Nil }
func (id ConsentID) IsZero() bool  { return id.UUID == uuid.Nil }
func (id MandateID) IsZero() bool  { return id.UUID == uuid.Nil }
func (id AccessID) IsZero() bool   { return id.UUID == uuid.Nil }
func (id ErasureID) IsZero() bool  { return id.UUID == uuid.Nil }
func (id HoldID) IsZero() bool     { return id.UUID == uuid.Nil }

// IsZero reports whether the identifier is absent.
func (id RestrictionID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the identifier is absent.
func (id CorrectionID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the identifier is absent.
func (id PetitionID) IsZero() bool { return id.UUID == uuid.Nil }

// Restriction returns the id of the restriction of processing that comes with the petition and
// ends with its answer.
func (id PetitionID) Restriction() RestrictionID {
	return RestrictionID{uuid.NewSHA1(id.UUID, []byte("restriction"))}
}

// IsZero reports whether the identifier is absent.
func (id EntryID) IsZero() bool { return id.UUID == uuid.Nil }

// Dispute returns the id of the petition that disputes the entry, of which there is one.
func (id EntryID) Dispute() PetitionID { return PetitionID{uuid.NewSHA1(id.UUID, []byte("dispute"))} }

// IsZero reports whether the identifier is absent.
func (id ReleaseID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the identifier is absent.
func (id InvestigationID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the identifier is absent.
func (id AttachmentID) IsZero() bool { return id.UUID == uuid.Nil }

// Words of the loaded registry. A word that the registry does not hold is
// refused at the edge, so these may stand in clear in the log.
type (
	// DocumentType is the registry's name of a kind of document, "isiPlusCard".
	DocumentType string
	// Purpose is the registry's code of why data is used, "socialBenefit".
	Purpose string
	// Procedure is the registry's code of an administrative procedure.
	Procedure string
	// LegalBasis is the registry's code of a ground of GDPR article 6, "publicTask".
	LegalBasis string
	// Deliberation is the number under which an authorisation was published, as the
	// registry records it for a consumer.
	Deliberation string
	// DataCategory is a code of the Belgian gdpr-category vocabulary.
	DataCategory string
	// ReasonCode is a code from the registry's lists of reasons.
	ReasonCode string
	// Language is one of nl, fr, de, en.
	Language string
	// Field is the name of a top-level member of a document's content, as the
	// type's schema declares it.
	Field string
)

// RegistryVersion counts published registries from 1; 0 means none.
type RegistryVersion int64
