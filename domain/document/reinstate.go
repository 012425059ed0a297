package document

import (
	"time"

	"coffre/domain"
)

// Reinstate ends a suspension.
type Reinstate struct {
	Expected Expectation
	Reason   domain.ReasonCode
	By       domain.Actor
	At       time.Time
}

// Decide implements D-1 and D-2.
func (c Reinstate) Decide(s State) ([]Event, error) {
	switch err := s.changeable(c.By, c.Expected); {
	case err != nil:
		return nil, err
	case !s.suspended():
		return nil, ErrNotSuspended
	}
	return []Event{Reinstated{Document: s.Document, Reason: c.Reason, At: c.At}}, nil
}
