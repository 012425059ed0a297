// Package audit holds the facts about those who look at the vault itself:
// auditors who read the log and officers who export it.
//
//	a stream of the month: (empty) --Record--> facts, in order; no fact changes another
//
// Invariant: a fact is recorded before anything is handed out, and says nothing
// about a citizen.
package audit

import (
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Event is one of the facts of an audit stream, audit-{yyyymm}.
type Event interface{ AuditEvent() }

// LogRead records that an auditor read the log; there is one per person, session and
// range.
type LogRead struct {
	Session  uuid.UUID `json:"session"`
	FromLeaf int64     `json:"fromLeaf"`
	Category string    `json:"category,omitempty"`
	Type     string    `json:"type,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	At       time.Time `json:"at"`
}

// ExportCreated records that a file was made of a projection.
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

// State is that of an audit stream, of which no rule needs to remember anything.
type State struct{}

// Evolve returns the state after an event, which is the state before it.
func Evolve(s State, _ Event) State { return s }

// Decide records the fact, whatever came before.
func (c Record) Decide(State) ([]Event, error) { return []Event{c.Event}, nil }
