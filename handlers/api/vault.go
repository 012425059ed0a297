package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/traffic"
	"coffre/handlers/work"
	"coffre/projections/evidence"
	"coffre/projections/signals"
	"coffre/projections/transparency"
)

// Vault answers every call of the contract, each by a method that builds a command or asks a
// read model. All fields are required unless they say otherwise; its methods may be called
// concurrently.
type Vault struct {
	*work.Worker

	Evidence      *evidence.Evidence
	Signals       *signals.Signals
	Backups       Backups       // nil: the databases are backed up by their own tools
	OwnTools      bool          // the databases may be backed up by tools of their own beside Backups
	Notices       Notices       // nil: no webhook is told
	Webhooks      Webhooks      // nil: this process knows of none
	Reactors      Reactors      // nil: likewise
	Subscriptions Subscriptions // nil: organisations have none here
	Ebox          EboxDesk      // nil: citizens are not written to in My eBox
	Traffic       *traffic.Table
	Prices        *Prices // nil: nothing has a price
	// Witnesses have the cosignatures of checkpoints; nil: none are served.
	Witnesses *transparency.Witnesses
	// Review is how long an erasure is remembered before it is due for a review.
	Review time.Duration

	auditedReads   recentIDs // readings of the log that are on record
	cachedRegistry registryCache
}

// Notices is the port to what a webhook was told.
type Notices interface {
	// About returns what was told of documents, in the order in which it was made. What was
	// delivered long ago may be forgotten. It may be called concurrently.
	About(ctx context.Context, documents []domain.DocumentID) ([]Notice, error)
}

// Notice is that a document changed, as a webhook was or is to be told.
type Notice struct {
	Event    uuid.UUID
	Document domain.DocumentID
	State    string    // "pending", "delivered" or "failed"
	Changed  time.Time // when it came to that
}
