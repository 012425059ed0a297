package investigation

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// Renew lets an investigation end later.
type Renew struct {
	Until         time.Time
	Registrations []registry.Registration // the organisation's, in the registry in force
	By            domain.Actor
	At            time.Time
}

// Decide implements H-2. A renewal until the end that is on record already records nothing.
func (c Renew) Decide(s State) ([]Event, error) {
	most := allowed(s.Grounds, c.Registrations)
	switch {
	case s.Investigation.IsZero(), !s.opened(c.By):
		return nil, ErrUnknown
	case !s.OpenAt(c.At):
		return nil, ErrOver
	case most == 0:
		return nil, ErrMayNotHide
	case c.Until.Equal(s.Until):
		return nil, nil
	case c.At.Add(RenewBefore).After(s.Until):
		return nil, ErrLate
	case c.Until.Before(s.Until), c.Until.Sub(c.At) > most:
		return nil, ErrEnd
	}
	return []Event{Renewed{Investigation: s.Investigation, Until: c.Until, At: c.At}}, nil
}
