package investigation

import (
	"time"

	"coffre/domain"
)

// Lift ends an investigation before its time.
type Lift struct {
	By domain.Actor
	At time.Time
}

// Decide implements H-3. What is over already is lifted, and nothing is recorded.
func (c Lift) Decide(s State) ([]Event, error) {
	officer := c.By.Role == domain.RolePrivacyOfficer
	switch {
	case s.Investigation.IsZero(), !officer && !s.opened(c.By):
		return nil, ErrUnknown
	case !s.OpenAt(c.At):
		return nil, nil
	}
	return []Event{Lifted{Investigation: s.Investigation, At: c.At}}, nil
}
