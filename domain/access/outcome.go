package access

import (
	"time"

	"coffre/domain"
)

var ErrOutcome = domain.NewError(domain.Invalid, "accessOutcome", "an outcome is disclosed, withheld or failed, the latter two with their reason")

// RecordOutcome tells what became of an authorised access, whichever stream its
// authorisation stands in, or of what was to be told.
type RecordOutcome struct {
	Access  domain.AccessID
	Citizen domain.CitizenID // absent where it is absent from Told
	Outcome Outcome
	Reason  domain.ReasonCode // why it was withheld or failed: a refusal's slug
	Attempt int
	At      time.Time
}

// Decide implements A-1 as far as what is recorded when something was withheld.
func (c RecordOutcome) Decide(State) ([]Event, error) {
	switch c.Outcome {
	case Delivered:
		if c.Reason != "" {
			return nil, ErrOutcome
		}
	case Withheld, Failed:
		if c.Reason == "" {
			return nil, ErrOutcome
		}
	default:
		return nil, ErrOutcome
	}
	if c.Attempt < 1 || c.Access.IsZero() {
		return nil, ErrOutcome
	}
	return []Event{Disclosed(c)}, nil
}
