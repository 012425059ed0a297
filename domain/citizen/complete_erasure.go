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
	if !isEraser(c.By) {
		return nil, ErrNotEraser
	}
	e, known := s.Erasure(c.Erasure)
	switch {
	case !known:
		return nil, ErrNoErasure
	case e.Scope != OneDocument:
		return nil, ErrScope
	case e.Step >= Done:
		return nil, nil
	case e.Step < Started:
		return nil, ErrNotStarted
	}
	return []Event{ErasureCompleted{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}
