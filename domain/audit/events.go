// Package audit holds the facts about those who look at the vault itself:
// auditors who read the log and officers who export it.
//
// Invariant: they are recorded before anything is handed out, and say nothing
// about a citizen.
package audit

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Event is one of the facts of an audit stream, audit-{yyyymm}.
type Event interface{ AuditEvent() }

// LogRead: an auditor reads the log; one per person, session and range.
type LogRead struct {
	Session  uuid.UUID `json:"session"`
	FromLeaf int64     `json:"fromLeaf"`
	Category string    `json:"category,omitempty"`
	Type     string    `json:"type,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	At       time.Time `json:"at"`
}

// ExportCreated: a file was made of a projection.
type ExportCreated struct {
	Export   uuid.UUID           `json:"export"`
	Kind     string              `json:"kind"`   // "consentLog"
	Format   string              `json:"format"` // "csv" or "jsonl"
	Consumer domain.Organisation `json:"consumer,omitempty"`
	Purpose  domain.Purpose      `json:"purpose,omitempty"`
	From     time.Time           `json:"from,omitzero"`
	Until    time.Time           `json:"until,omitzero"`
	Reason   domain.ReasonCode   `json:"reason,omitempty"`
	At       time.Time           `json:"at"`
}

func (LogRead) AuditEvent()       {}
func (ExportCreated) AuditEvent() {}

// Record writes a fact down; what it says was checked at the edge against the
// registry, so it never refuses.
type Record struct{ Event Event }

// State of an audit stream: nothing is remembered.
type State struct{}

// Evolve returns the state after e.
func Evolve(s State, _ Event) State { return s }

// Decide implements the command.
func (c Record) Decide(State) ([]Event, error) { return []Event{c.Event}, nil }
