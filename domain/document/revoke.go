package document

import (
	"errors"
	"time"

	"coffre/domain"
)

// Revoke takes the document back, for good. It is appended whatever came
// between, so that it cannot starve. A revocation whose day is still to come can be brought
// forward and not put off.
type Revoke struct {
	Expected      Expectation
	Reason        domain.ReasonCode
	EffectiveFrom domain.Date // absent: today
	By            domain.Actor
	At            time.Time
}

// Decide implements D-1 and D-2. The same revocation again is no error; another one is refused,
// unless the one that stands is not effective yet and the other is earlier.
func (c Revoke) Decide(s State) ([]Event, error) {
	if c.EffectiveFrom.IsZero() {
		c.EffectiveFrom = domain.BelgianDate(c.At)
	}
	standing := s.Revocation
	if domain.BelgianDate(c.At).Before(standing.EffectiveFrom) && c.EffectiveFrom.Before(standing.EffectiveFrom) {
		s.Revocation = Revocation{}
	}
	err := s.changeable(c.By, c.Expected)
	switch {
	case errors.Is(err, ErrRevoked) && s.Revocation == (Revocation{c.Reason, c.EffectiveFrom}):
		return nil, nil
	case err != nil:
		return nil, err
	case c.Reason == "":
		return nil, ErrReasonMissing
	case c.EffectiveFrom.Before(domain.BelgianDate(s.IssuedAt)):
		return nil, ErrRevokedBeforeIssued
	}
	return []Event{Revoked{Document: s.Document, Reason: c.Reason, EffectiveFrom: c.EffectiveFrom, At: c.At}}, nil
}
