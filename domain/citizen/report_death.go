package citizen

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

var (
	ErrDeathAhead  = domain.NewError(domain.Invalid, "dateInFuture", "the date lies in the future")
	ErrDateMissing = domain.NewError(domain.Invalid, "dateMissing", "a date is needed")
	ErrDeathBefore = domain.NewError(domain.Invalid, "dateBeforeBirth", "nobody with this national number was born by that date")
)

// ReportDeath records that the citizen died. Mandates and consents end by it.
type ReportDeath struct {
	Date      domain.Date
	Born      domain.Date           // the earliest day by the number that the source names; absent: not known
	Attestors []domain.Organisation // who may say that somebody died, by the registry
	By        domain.Actor
	At        time.Time
}

// Decide implements P-2 and R-13.
func (c ReportDeath) Decide(s State) ([]Event, error) {
	if err := registry.Death.Check(c.By, c.Attestors); err != nil {
		return nil, err
	}
	switch err := s.writable(); {
	case err != nil:
		return nil, err
	case s.Deceased:
		return nil, nil
	case c.Date.IsZero():
		return nil, ErrDateMissing
	case domain.BelgianDate(c.At).Before(c.Date):
		return nil, ErrDeathAhead
	case !c.Born.IsZero() && c.Date.Before(c.Born):
		return nil, ErrDeathBefore
	}
	return []Event{Deceased{Citizen: s.Citizen, At: c.At, Personal: &DeceasedPersonal{Date: c.Date}}}, nil
}
