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

// Reactor is a named handler of events with its topics.
type Reactor struct {
	// Name is the consumer group: the key of its position and of what it has done.
	// Lower-case letters; never reused for another purpose.
	Name string
	// Topics are the topics the reactor follows, see [Subscriber]. Each is followed in log
	// order; there is no order between two topics.
	Topics []string
	// From is the start of a reactor that never ran.
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

// Effect is the result of handling an event, to be stored with the mark that it was
// handled. Both fields may be nil.
type Effect struct {
	// Store writes to the reactors' database, in the transaction that marks the event
	// as handled.
	Store func(ctx context.Context, tx *sqlx.Tx) error
	// OnStored is called after that transaction is durable.
	OnStored func()
}

// Start is the place in the log at which a reactor without a position begins.
type Start int

const (
	FromBeginning Start = iota // the whole log
	FromNow                    // what is appended after it first subscribed
)

// ErrLater is wrapped by errors of handlers that are not the event's fault, as when another
// system is away. Such an event is delivered again and never set aside.
var ErrLater = errors.New("reactors: not now")
