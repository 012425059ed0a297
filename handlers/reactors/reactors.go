// Package reactors does what follows from events outside the log: it calls other
// systems and starts further writes, through Watermill, at least once.
//
// A [Subscriber] delivers the log as messages, in order, one at a time for each
// reactor. A [Router] runs reactors over it with retries, time limits and a place
// where messages that cannot be handled are set aside. What a reactor did, how far
// it came and what was set aside is kept in one small database, [DB].
//
// Invariant: an event is passed only when its effect is stored, or when it is set
// aside by name; a shutdown does neither. Nothing personal passes through here: a
// message carries the clear part of an event and ids.
package reactors

import (
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
)

// Reactor is one thing that follows from events.
type Reactor struct {
	// Name is the consumer group: the key of its position and of what it has done.
	// Lower-case letters; never reused for another purpose.
	Name string
	// Topics are what it listens to, see [Subscriber]. Each is followed in log
	// order; there is no order between two topics.
	Topics []string
	// From says where a reactor that never ran begins.
	From Start
	// Timeout bounds one try; default 10 s.
	Timeout time.Duration
	// Handle acts on one event. It may be called again for the same event after a
	// crash, so what it does outside must be idempotent by the event's id. What it
	// returns is stored together with the mark that the event was handled, once.
	//
	// An error makes it be called again, a few times within a second, and then sets
	// the event aside. An error that wraps [ErrLater] says that the event is not to
	// blame: it is delivered again, with growing pauses, for as long as it takes.
	Handle func(ctx context.Context, n Notice) (Effect, error)
}

// Effect is what a reactor wants kept. Both members may be nil.
type Effect struct {
	// Store writes to the reactors' database, in the transaction that marks the event
	// as handled.
	Store func(ctx context.Context, tx *sqlx.Tx) error
	// OnStored is called after that transaction is durable.
	OnStored func()
}

// Start says where in the log a reactor begins when it has no position yet.
type Start int

const (
	FromBeginning Start = iota // the whole log
	FromNow                    // what is appended after it first subscribed
)

// ErrLater is wrapped by errors of handlers that a later try may not meet, whatever
// the event: another system is away. Such an event is never set aside.
var ErrLater = errors.New("reactors: not now")
