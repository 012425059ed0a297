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
	NotMinor         domain.ReasonCode = "notMinor" // a parent's, of somebody whose national number says that they are no minor
)

var (
	ErrChildMayNotEnd = domain.NewError(domain.Forbidden, "parentMandate", "a child does not end a parent's mandate; the authentic source does")
	ErrCourtEnds      = domain.NewError(domain.Forbidden, "courtMandate", "what a court decided ends by its decision, which the authentic source reports")
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

// Decide implements M-1.7, M-1.8 and M-1.11. Ending twice is no error. To strangers
// there is no such mandate.
func (c End) Decide(s State) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrNotFound
	}
	reason := c.Reason
	switch {
	case s.Kind == AppointedByCourt && (c.By.IsSelf(s.Representative) || c.By.IsSelf(s.Citizen)):
		return nil, ErrCourtEnds
	case c.By.IsSelf(s.Representative):
		reason = ByRepresentative
	case c.By.IsSelf(s.Citizen):
		if s.Kind == ParentOfMinor { // M-1.4
			return nil, ErrChildMayNotEnd
		}
		reason = ByCitizen
	case c.By.Role == domain.RoleIssuer && s.Kind.Attestation() != "" && c.By.Organisation == s.Source: // without a right too: to end protects
		if reason != Decision && reason != Death && (reason != Majority || s.Kind != ParentOfMinor) {
			return nil, ErrReason
		}
	case c.By.Role == domain.RoleSystem:
		if reason != Death && (reason != Majority && reason != NotMinor || s.Kind != ParentOfMinor) { // M-1.6, M-1.8, M-1.11
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
