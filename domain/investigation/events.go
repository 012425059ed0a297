package investigation

import (
	"time"

	"coffre/domain"
)

// Event is one of the facts of an investigation's stream, investigation-{id}.
type Event interface{ investigationEvent() }

// Opened records that from now on accesses on these grounds may stand under the investigation,
// and stay hidden until it is lifted.
type Opened struct {
	Investigation domain.InvestigationID `json:"investigation"`
	Grounds       Grounds                `json:"grounds"`
	Reason        domain.ReasonCode      `json:"reason"`
	Until         time.Time              `json:"until"` // exclusive
	At            time.Time              `json:"at"`
}

// Renewed records that the investigation ends later.
type Renewed struct {
	Investigation domain.InvestigationID `json:"investigation"`
	Until         time.Time              `json:"until"` // exclusive
	At            time.Time              `json:"at"`
}

// Lifted records that the investigation is over before its end.
type Lifted struct {
	Investigation domain.InvestigationID `json:"investigation"`
	At            time.Time              `json:"at"`
}

func (Opened) investigationEvent()  {}
func (Renewed) investigationEvent() {}
func (Lifted) investigationEvent()  {}
