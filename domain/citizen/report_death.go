package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

var (
	ErrNotSource   = domain.NewError(domain.Forbidden, "notAuthenticSource", "only the authentic source of this fact may state it")
	ErrDeathAhead  = domain.NewError(domain.Invalid, "dateInFuture", "the date lies in the future")
	ErrDateMissing = domain.NewError(domain.Invalid, "dateMissing", "a date is needed")
)

// ReportDeath records that the citizen died. Mandates and consents end by it.
type ReportDeath struct {
	Date    domain.Date
	Sources []domain.Organisation // who may state such facts, by the registry
	By      domain.Actor
	At      time.Time
}

// Decide implements P-2.
func (c ReportDeath) Decide(s State) ([]Event, error) {
	if err := fromSource(c.By, c.Sources); err != nil {
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
	}
	return []Event{Deceased{Citizen: s.Citizen, At: c.At, Personal: &DeceasedPersonal{Date: c.Date}}}, nil
}

func fromSource(by domain.Actor, sources []domain.Organisation) error {
	if by.Role != domain.RoleIssuer || by.Organisation.IsZero() || !slices.Contains(sources, by.Organisation) {
		return ErrNotSource
	}
	return nil
}
