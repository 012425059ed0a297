package citizen

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

var ErrSameSSIN = domain.NewError(domain.Invalid, "ssinUnchanged", "both numbers are the same, or one is missing")

// ReplaceSSIN records that the National Register gave the person another number.
// The former one keeps finding them.
type ReplaceSSIN struct {
	Former, Now domain.SSIN
	Attestors   []domain.Organisation // who may say that a number was replaced, by the registry
	By          domain.Actor
	At          time.Time
}

// Decide implements P-3 and R-13.
func (c ReplaceSSIN) Decide(s State) ([]Event, error) {
	if err := registry.NationalNumber.Check(c.By, c.Attestors); err != nil {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if c.Former.IsZero() || c.Now.IsZero() || c.Former == c.Now {
		return nil, ErrSameSSIN
	}
	if err := c.Now.CheckBorn(domain.BelgianDate(c.At)); err != nil {
		return nil, err
	}
	return []Event{SSINReplaced{Citizen: s.Citizen, At: c.At,
		Personal: &SSINReplacedPersonal{Former: c.Former.Reveal(), Now: c.Now.Reveal()}}}, nil
}
