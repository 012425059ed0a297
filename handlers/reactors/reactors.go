// Package reactors does what follows from events outside the log: it calls other
// systems and starts further writes, through Watermill, at least once.
//
// A [Subscriber] delivers the log as messages, in order. A [Router] runs reactors over
// it with retries, time limits and a place where messages that cannot be handled are set
// aside. What a reactor did, how far it came and what was set aside is kept in one small
// database, [DB].
//
// # How to write a reactor
//
// A [Reactor] has a name, topics and a function Handle. The name is the key of all that is
// remembered of it. Handle is called with one event after the other, as a [Notice], for each
// citizen in the order of the log, whichever of its topics an event belongs to; events of
// different citizens are handled at the same time, in eight parts, by whichever process has
// a part. Key orders by something else than the citizen.
//
//	reactors.Reactor{
//		Name: "letters", Topics: []string{"document", "consent.requested"}, From: reactors.FromNow,
//		Handle: func(ctx context.Context, n reactors.Notice) (reactors.Effect, error) {
//			letter, err := compose(ctx, n)
//			if err != nil || letter == nil { // nil: it says nothing to this reactor
//				return reactors.Effect{}, err
//			}
//			return reactors.Effect{
//				Store:    func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, n.ID, letter) },
//				OnStored: wakeSender,
//			}, nil
//		},
//	}
//
// What Handle returns as Store runs in the transaction that marks the event as handled, so
// that its effect on this database happens once. The tables are the reactor's own, made by
// [DB.Ensure] in SQLite's dialect. A reactor that calls other systems does not call them in
// Handle, where a slow one would hold up the events behind it: it stores what is to be sent,
// as above, and a sender of its own goes through the table, in one process at a time, woken
// by a [DB.Signal]. cmd/coffre/vault registers reactors and senders, in reactors.go there.
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
	// Topics are the topics the reactor follows, see [Subscriber], together. A topic that is
	// added counts from where the reactor is.
	Topics []string
	// Key returns what events are ordered by: of those with the same key one is handled at a
	// time, in log order. The notice has no Leaf yet. nil: the citizen whom an event is about,
	// or its stream where it is about nobody.
	Key func(Notice) string
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
	// OnStored is called, in the process that handled the event, after that transaction is durable.
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
