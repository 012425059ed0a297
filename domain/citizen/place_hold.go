package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

var (
	ErrNotOfficer     = domain.NewError(domain.Forbidden, "notPrivacyOfficer", "only a privacy officer may do this")
	ErrReasonMissing  = domain.NewError(domain.Invalid, "reasonMissing", "a reason is needed")
	ErrErasureStarted = domain.NewError(domain.Conflict, "erasureStarted", "an erasure has started; it can no longer be held up")
)

// PlaceHold keeps everything of the citizen from being erased. It is appended
// whatever came between, so a hold may land after an erasure started; then
// MayDestroy stops the destroyer.
type PlaceHold struct {
	Hold          domain.HoldID
	Reason        domain.ReasonCode
	CaseReference string
	By            domain.Actor
	At            time.Time
}

// Decide implements P-4 and E-1.
func (c PlaceHold) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RolePrivacyOfficer {
		return nil, ErrNotOfficer
	}
	if s.Standing() == "" {
		return nil, ErrUnknown
	}
	switch {
	case slices.ContainsFunc(s.Holds, func(h Hold) bool { return h.ID == c.Hold }):
		return nil, nil
	case s.Standing() == Erased:
		return nil, ErrErased
	case s.underWay(): // E-1
		return nil, ErrErasureStarted
	case c.Reason == "":
		return nil, ErrReasonMissing
	}
	e := LegalHoldPlaced{Citizen: s.Citizen, Hold: c.Hold, Reason: c.Reason, At: c.At}
	if c.CaseReference != "" {
		e.Personal = &LegalHoldPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}
