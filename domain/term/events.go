package term

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Event is one of the facts of a stream term-{id}, in which id is that of a document, a consent
// or a petition.
type Event interface{ termEvent() }

// Announced records that the end of something is announced. It decides nothing.
type Announced struct {
	Kind         Kind                `json:"kind"`
	Citizen      domain.CitizenID    `json:"citizen"`
	Document     domain.DocumentID   `json:"document,omitzero"` // one of these three
	Consent      domain.ConsentID    `json:"consent,omitzero"`
	Petition     domain.PetitionID   `json:"petition,omitzero"`
	Type         domain.DocumentType `json:"type,omitempty"`
	Organisation domain.Organisation `json:"organisation,omitempty"`
	Purpose      domain.Purpose      `json:"purpose,omitempty"`
	Ends         domain.Date         `json:"ends"`   // the last day of the term
	Before       int                 `json:"before"` // days before it, of the step: 90, 30 or 0
	At           time.Time           `json:"at"`
}

// Subject returns the id of what ends, which the stream bears.
func (e Announced) Subject() uuid.UUID {
	switch e.Kind {
	case Document:
		return e.Document.UUID
	case Consent:
		return e.Consent.UUID
	}
	return e.Petition.UUID
}

func (Announced) termEvent() {}
