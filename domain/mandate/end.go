package mandate

import (
	"time"

	"coffre/domain"
)

// Reasons of an end.
const (
	ByCitizen        domain.ReasonCode = "byCitizen"
	ByRepresentative domain.ReasonCode = "byRepresentative"
	Majority         domain.ReasonCode = "majority"
	Death            domain.ReasonCode = "death"
	Decision         domain.ReasonCode = "decision" // of the authentic source
)

var (
	ErrChildMayNotEnd = domain.NewError(domain.Forbidden, "parentMandate", "a child does not end a parent's mandate; the authentic source does")
	ErrReason         = domain.NewError(domain.Invalid, "mandateEndReason", "this reason is not this actor's to give")
)

// End ends the mandate at once.
type End struct {
	// Reason that a source or Coffre itself gives; a citizen's follows from who they
	// are and may be absent.
	Reason domain.ReasonCode
	By     domain.Actor
	At     time.Time
}

// Decide implements M-1.7 and M-1.8. Ending twice is no error. To strangers
// there is no such mandate.
func (c End) Decide(s State) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrNotFound
	}
	reason := c.Reason
	switch {
	case c.By.IsSelf(s.Representative):
		reason = ByRepresentative
	case c.By.IsSelf(s.Citizen):
		if s.Kind == ParentOfMinor { // M-1.4
			return nil, ErrChildMayNotEnd
		}
		reason = ByCitizen
	case c.By.Role == domain.RoleIssuer && s.Kind == ParentOfMinor && c.By.Organisation == s.Source:
		if reason != Decision && reason != Majority && reason != Death {
			return nil, ErrReason
		}
	case c.By.Role == domain.RoleSystem:
		if reason != Majority && reason != Death { // M-1.6, M-1.8
			return nil, ErrReason
		}
	default:
		return nil, ErrNotFound
	}
	if s.Ended {
		return nil, nil
	}
	return []Event{Ended{Mandate: s.Mandate, Reason: reason, At: c.At}}, nil
}
