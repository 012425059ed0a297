package consent

import (
	"time"

	"coffre/domain"
	"coffre/domain/mandate"
)

// Refuse is the citizen's no to a request.
type Refuse struct {
	Mandate mandate.InForce // when a representative acts
	By      domain.Actor
	At      time.Time
}

// Decide implements C-1. Refusing twice is no error. To strangers there is no
// such request.
func (c Refuse) Decide(s State) ([]Event, error) {
	under, ok := agent(c.By, s.Citizen, c.Mandate, s.Terms.Types)
	if s.Phase == None || !ok {
		return nil, ErrNotFound
	}
	switch s.Phase {
	case IsRefused:
		return nil, nil
	case IsRequested:
		return []Event{Refused{Consent: s.Consent, Mandate: under, At: c.At}}, nil
	}
	return nil, ErrAlreadyDecided
}
