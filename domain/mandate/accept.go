package mandate

import (
	"time"

	"coffre/domain"
)

var ErrEnded = domain.NewError(domain.Conflict, "mandateEnded", "the mandate has ended, for good")

// Accept is the representative's agreement. To anybody else there is no such mandate.
type Accept struct {
	By domain.Actor
	At time.Time
}

// Decide implements M-1.1. Accepting twice is no error.
func (c Accept) Decide(s State) ([]Event, error) {
	switch {
	case !s.Exists() || !c.By.IsSelf(s.Representative):
		return nil, ErrNotFound
	case s.Ended:
		return nil, ErrEnded
	case s.Accepted:
		return nil, nil
	}
	return []Event{Accepted{Mandate: s.Mandate, At: c.At}}, nil
}
