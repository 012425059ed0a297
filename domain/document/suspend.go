package document

import (
	"time"

	"coffre/domain"
)

// Suspend says that the document is not to be relied on for now. It is appended
// whatever came between, so that it cannot starve.
type Suspend struct {
	Expected Expectation
	Reason   domain.ReasonCode
	By       domain.Actor
	At       time.Time
}

// Decide implements D-1 and D-2. Suspending twice is no error.
func (c Suspend) Decide(s State) ([]Event, error) {
	switch err := s.changeable(c.By, c.Expected); {
	case err != nil:
		return nil, err
	case c.Reason == "":
		return nil, ErrReasonMissing
	case s.suspended():
		return nil, nil
	}
	return []Event{Suspended{Document: s.Document, Reason: c.Reason, At: c.At}}, nil
}
