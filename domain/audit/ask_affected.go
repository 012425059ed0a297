package audit

import (
	"time"

	"coffre/domain"
)

// AffectedAsked records that somebody asked whose documents of a type went to an organisation in
// a time, as after a breach, and why. It stands before anything is told.
type AffectedAsked struct {
	Type     domain.DocumentType `json:"type"`
	Consumer domain.Organisation `json:"consumer"`
	From     time.Time           `json:"from"`  // inclusive
	Until    time.Time           `json:"until"` // exclusive
	AsOf     *time.Time          `json:"asOf,omitempty"`
	Reason   domain.ReasonCode   `json:"reason"`
	At       time.Time           `json:"at"`
}

// AuditEvent implements Event.
func (AffectedAsked) AuditEvent() {}

// Errors of the question.
var (
	// ErrAffectedPeriod refuses a question about no time.
	ErrAffectedPeriod = domain.NewError(domain.Invalid, "affectedPeriod", "the time that is asked about ends after it begins")
	// ErrAffectedReason refuses a question that says no reason.
	ErrAffectedReason = domain.NewError(domain.Invalid, "reasonMissing", "a reason is needed")
)

// AskAffected asks the question. Its words are of the registry, which the caller has checked.
type AskAffected AffectedAsked

// Decide records a question about some time that has a reason, whatever came before.
func (c AskAffected) Decide(State) ([]Event, error) {
	switch {
	case c.Reason == "":
		return nil, ErrAffectedReason
	case !c.From.Before(c.Until):
		return nil, ErrAffectedPeriod
	}
	return []Event{AffectedAsked(c)}, nil
}
