package citizen

import (
	"time"

	"coffre/domain"
)

// CompleteErasure ends the erasure of one document, once the document's own
// stream says that its content is destroyed. Holds may be placed again.
type CompleteErasure struct {
	Erasure domain.ErasureID
	By      domain.Actor
	At      time.Time
}

// Decide implements E-3 as far as the order of the steps.
func (c CompleteErasure) Decide(s State) ([]Event, error) {
	_, due, err := s.dueForEraser(c.Erasure, c.By, eraserStep{scope: OneDocument, after: Started, refusal: ErrNotStarted, reaches: Done})
	if err != nil || !due {
		return nil, err
	}
	return []Event{ErasureCompleted{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}
