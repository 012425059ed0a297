package release

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of a release's stream, release-{id}.
type Event interface{ releaseEvent() }

// Proposed records that an officer proposed a release.
type Proposed struct {
	Release domain.ReleaseID  `json:"release"`
	Kind    Kind              `json:"kind"`
	Basis   domain.LegalBasis `json:"basis"`
	Until   time.Time         `json:"until,omitzero"`
	// Tag is an HMAC of the release and the person's number, in base64.
	Tag []byte    `json:"tag"`
	At  time.Time `json:"at"`
}

// Approved records that another officer agreed.
type Approved struct {
	Release domain.ReleaseID `json:"release"`
	At      time.Time        `json:"at"`
}

// Completed records that the release was carried out; a new life names its citizen.
type Completed struct {
	Release domain.ReleaseID `json:"release"`
	Citizen domain.CitizenID `json:"citizen,omitzero"`
	At      time.Time        `json:"at"`
}

func (Proposed) releaseEvent()  {}
func (Approved) releaseEvent()  {}
func (Completed) releaseEvent() {}
