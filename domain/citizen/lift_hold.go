package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

var ErrNoHold = domain.NewError(domain.NotFound, "legalHoldNotFound", "no such legal hold")

// LiftHold ends one legal hold. Lifting twice is not an error.
type LiftHold struct {
	Hold domain.HoldID
	By   domain.Actor
	At   time.Time
}

// Decide implements P-4.
func (c LiftHold) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RolePrivacyOfficer {
		return nil, ErrNotOfficer
	}
	i := slices.IndexFunc(s.Holds, func(h Hold) bool { return h.ID == c.Hold })
	switch {
	case i < 0:
		return nil, ErrNoHold
	case s.Holds[i].Lifted:
		return nil, nil
	}
	return []Event{LegalHoldLifted{Citizen: s.Citizen, Hold: c.Hold, At: c.At}}, nil
}
