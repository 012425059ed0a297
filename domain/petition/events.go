package petition

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of a petition's stream, petition-{id}.
type Event interface{ PetitionEvent() }

// Disputed records that a citizen says that an entry of their access log looks wrong.
type Disputed struct {
	Petition domain.PetitionID `json:"petition"`
	Citizen  domain.CitizenID  `json:"citizen"`
	Entry    domain.EntryID    `json:"entry"`
	Access   domain.AccessID   `json:"access,omitzero"` // absent for an attempt that was refused
	// Organisation is to answer; absent: a privacy officer of the vault.
	Organisation domain.Organisation `json:"organisation,omitempty"`
	Mandate      domain.MandateID    `json:"mandate,omitzero"` // of the representative who disputes
	Deadline     domain.Date         `json:"deadline"`
	At           time.Time           `json:"at"`

	Personal *TextPersonal `json:"-"`
}

// DisputeAnswered records the answer to a dispute.
type DisputeAnswered struct {
	Petition domain.PetitionID `json:"petition"`
	Citizen  domain.CitizenID  `json:"citizen"`
	Outcome  Outcome           `json:"outcome"`
	At       time.Time         `json:"at"`

	Personal *TextPersonal `json:"-"`
}

// Requested records that a citizen asks the issuer of a document to rectify it, or objects to
// what an organisation does with their data for a purpose.
type Requested struct {
	Petition     domain.PetitionID   `json:"petition"`
	Citizen      domain.CitizenID    `json:"citizen"`
	Kind         Kind                `json:"kind"`
	Organisation domain.Organisation `json:"organisation"`
	Document     domain.DocumentID   `json:"document,omitzero"`
	Version      int                 `json:"version,omitempty"` // of the document, which the citizen saw
	Purpose      domain.Purpose      `json:"purpose,omitempty"`
	Restricts    bool                `json:"restricts,omitempty"` // until it is answered
	Mandate      domain.MandateID    `json:"mandate,omitzero"`    // of the representative who asks
	Deadline     domain.Date         `json:"deadline"`
	At           time.Time           `json:"at"`

	Personal *TextPersonal `json:"-"`
}

// Answered records the answer to a request. Rectified is the version of the document that
// followed, where a rectification is upheld by an update.
type Answered struct {
	Petition  domain.PetitionID `json:"petition"`
	Citizen   domain.CitizenID  `json:"citizen"`
	Outcome   Outcome           `json:"outcome"`
	Rectified int               `json:"rectified,omitempty"`
	At        time.Time         `json:"at"`

	Personal *TextPersonal `json:"-"`
}

// Extended records that whoever answers a petition takes two further months, and why.
type Extended struct {
	Petition     domain.PetitionID   `json:"petition"`
	Citizen      domain.CitizenID    `json:"citizen"`
	Organisation domain.Organisation `json:"organisation,omitempty"` // that takes them; absent: the vault
	Deadline     domain.Date         `json:"deadline"`               // of now
	At           time.Time           `json:"at"`

	Personal *TextPersonal `json:"-"`
}

// TextPersonal is sealed under the key of the citizen who petitions.
type TextPersonal struct {
	Text string `json:"text"`
}

func (Disputed) PetitionEvent()        {}
func (DisputeAnswered) PetitionEvent() {}
func (Requested) PetitionEvent()       {}
func (Answered) PetitionEvent()        {}
func (Extended) PetitionEvent()        {}
