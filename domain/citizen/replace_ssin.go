package citizen

import (
	"time"

	"coffre/domain"
)

var ErrSameSSIN = domain.NewError(domain.Invalid, "ssinUnchanged", "both numbers are the same, or one is missing")

// ReplaceSSIN records that the National Register gave the person another number.
// The former one keeps finding them.
type ReplaceSSIN struct {
	Former, Now domain.SSIN
	Sources     []domain.Organisation // who may state such facts, by the registry
	By          domain.Actor
	At          time.Time
}

// Decide implements P-3.
func (c ReplaceSSIN) Decide(s State) ([]Event, error) {
	if err := fromSource(c.By, c.Sources); err != nil {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if c.Former.IsZero() || c.Now.IsZero() || c.Former == c.Now {
		return nil, ErrSameSSIN
	}
	return []Event{SSINReplaced{Citizen: s.Citizen, At: c.At,
		Personal: &SSINReplacedPersonal{Former: c.Former.Reveal(), Now: c.Now.Reveal()}}}, nil
}
