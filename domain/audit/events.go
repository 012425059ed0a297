// Package audit holds the facts about those who look at the vault itself or work on it:
// auditors who read the log, officers who search and export it, operators who take backups,
// replace keys, and accept that the log lost its end; and about who
// vouches for callers.
//
//	a stream of the month: (empty) --Record--> facts, in order; no fact changes another
//	the stream of providers: (empty) --NameProvider--> on record
//	    on record --ProposeProvider--> proposed --ApproveProvider--> approved --NameProvider--> on record
//	    a recovery: ... approved --NameProvider--> unconfirmed --ConfirmProvider--> on record
//
// Who vouches for callers follows rules of its own:
//
//   - I-1 a process starts with the provider on record, and with no other
//   - I-2 another one is proposed and approved by two persons, one of them an officer
//   - I-3 what waits too long counts no more, and the last proposal counts
//   - I-4 without the former provider two accounts of the machine change it, and an officer
//     confirms the new one before it lets anybody else in
//   - I-5 for a day the former one may be started with, too
//
// Invariant: a fact is recorded before anything is handed out or done, and says nothing
// about a citizen but whose facts were looked at.
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
	// The reading was narrowed to actors in these roles and of these organisations, with
	// blanks between them, and to what was recorded from a moment on and before another.
	Role         string     `json:"role,omitempty"`
	Organisation string     `json:"organisation,omitempty"`
	From         *time.Time `json:"from,omitempty"`
	Until        *time.Time `json:"until,omitempty"`
	At           time.Time  `json:"at"`
}

// ExportCreated records that a file was made of a projection, and why.
type ExportCreated struct {
	Export   uuid.UUID           `json:"export"`
	Kind     string              `json:"kind"`   // "consentLog", "register", "accessLog", "refusals" or "auditTrail"
	Format   string              `json:"format"` // "csv", "jsonl", "xlsx" or "parquet"
	Consumer domain.Organisation `json:"consumer,omitempty"`
	Purpose  domain.Purpose      `json:"purpose,omitempty"`
	// OnePerson says that the file is about one person: Citizen, or, where that is absent,
	// somebody whom the vault does not know.
	OnePerson bool              `json:"onePerson,omitempty"`
	Citizen   domain.CitizenID  `json:"citizen,omitzero"`
	From      *time.Time        `json:"from,omitempty"`
	Until     *time.Time        `json:"until,omitempty"`
	AsOf      *time.Time        `json:"asOf,omitempty"` // up to when the file tells what was known
	Reason    domain.ReasonCode `json:"reason,omitempty"`
	At        time.Time         `json:"at"`
}

// LossAccepted records that an operator let the vault go on with a log that ends before
// what was seen of it. Whatever was recorded in between is lost.
type LossAccepted struct {
	// LogEnd is the place in the store where the log ended, SeenEnd the one up to which
	// Witness had seen it; "0" lies before the first event. Places mean something in the
	// store only where the loss was.
	LogEnd  string `json:"logEnd"`
	SeenEnd string `json:"seenEnd"`
	// Events is how many events are lost; 0 where the places of the store do not count them.
	Events  int64     `json:"events,omitempty"`
	Witness Witness   `json:"witness"`
	Cause   LossCause `json:"cause"`
	At      time.Time `json:"at"`
}

// Witness is what remembers, beside the log, how far the log was seen.
type Witness string

// The witnesses of the log.
const (
	KeyRing       Witness = "keyRing"
	ReadModel     Witness = "readModel"
	Reactor       Witness = "reactor"
	LeafIndex     Witness = "leafIndex"
	DataDirectory Witness = "dataDirectory" // of a process whose databases are elsewhere
	Checkpoint    Witness = "checkpoint"    // signed, and kept outside the databases
)

// LossCause is why the newer log cannot be had.
type LossCause string

// The causes of a loss.
const (
	MediumLost LossCause = "mediumLost" // the disk or the machine that held it is gone
	Failover   LossCause = "failover"   // a replica that was behind took over
	Restored   LossCause = "restored"   // the log was restored from before, with the tools of its database
	Unreadable LossCause = "unreadable" // it is there and damaged
)

// LossCauses lists every cause.
var LossCauses = []LossCause{MediumLost, Failover, Restored, Unreadable}

func (LogRead) AuditEvent()       {}
func (ExportCreated) AuditEvent() {}
func (LossAccepted) AuditEvent()  {}

// Record writes a fact down; what it says was checked at the edge against the
// registry, so it never refuses.
type Record struct{ Event Event }

// State is what is remembered of an audit stream: of the stream of providers, what it says.
type State struct{ Providers Providers }

// Evolve returns the state after an event.
func Evolve(s State, e Event) State {
	if about, ok := e.(ProviderEvent); ok {
		s.Providers = evolveProviders(s.Providers, about)
	}
	return s
}

// Decide records the fact, whatever came before.
func (c Record) Decide(State) ([]Event, error) { return []Event{c.Event}, nil }
