package investigation

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// Open opens an investigation.
type Open struct {
	Investigation domain.InvestigationID
	Grounds       Grounds
	Reason        domain.ReasonCode
	Until         time.Time
	Registrations []registry.Registration // the organisation's, in the registry in force
	By            domain.Actor
	At            time.Time
}

// Decide implements H-1. The same again records nothing.
func (c Open) Decide(s State) ([]Event, error) {
	most := allowed(c.Grounds, c.Registrations)
	switch {
	case c.By.Role != domain.RoleConsumer || c.By.Organisation.IsZero() || c.By.Organisation != c.Grounds.Organisation, most == 0:
		return nil, ErrMayNotHide
	case !s.Investigation.IsZero():
		return nil, nil
	case c.Reason == "":
		return nil, ErrReason
	case !c.At.Before(c.Until), c.Until.Sub(c.At) > most:
		return nil, ErrEnd
	}
	return []Event{Opened{Investigation: c.Investigation, Grounds: c.Grounds, Reason: c.Reason, Until: c.Until, At: c.At}}, nil
}
