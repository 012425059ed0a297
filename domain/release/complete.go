package release

import (
	"time"

	"coffre/domain"
)

// Complete records that an approved release was carried out.
type Complete struct {
	Citizen domain.CitizenID // whom a NewLife registered
	At      time.Time
}

// Decide implements E-4.4.
func (c Complete) Decide(s State) ([]Event, error) {
	switch {
	case s.ApprovedAt.IsZero():
		return nil, ErrUnknown
	case !s.Completed.IsZero():
		return nil, nil
	}
	return []Event{Completed{Release: s.Release, Citizen: c.Citizen, At: c.At}}, nil
}
