package projections

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
)

// Medium keeps the tables of read models: sqlitemodels in files that one process owns,
// pgmodels in a database that several processes share. The contract of its adapters
// is projectiontest.RunMedium.
type Medium interface {
	// Model returns the place of one projection's tables in one version. It neither
	// reads nor writes.
	Model(name string, version int) Model
	// Furthest returns the position that the furthest complete generation has come to, of
	// whatever model and version, and that model's name; zero when there is none. It
	// changes nothing. What cannot be read is passed over: it is built anew. It is called
	// before the models are started.
	Furthest(ctx context.Context) (name string, at eventstore.Position, err error)
	// Discard takes every generation out of force that has come further than a position,
	// because the log ends there, and returns the models' names; they are built anew. No
	// process has one open.
	Discard(ctx context.Context, end eventstore.Position) (names []string, err error)
}

// Model is the place of one projection's tables in one version. Its methods may be
// called concurrently.
type Model interface {
	Generations
	Turns
}

// Generations of one model are complete sets of its tables. One of them is in force:
// readers are answered from it, and a rebuild writes the next one beside it.
type Generations interface {
	// Start is called once, before any other method. Where this process alone may write
	// the tables, it opens the generation in force and removes what a build left that a
	// crash interrupted. It returns nil when no sound generation is there, and where
	// processes share the tables: whoever waits for a turn finds them with InForce.
	Start(ctx context.Context) (Tables, error)
	// Open opens the generation in force; nil when there is none.
	Open(ctx context.Context) (Tables, error)
	// Create makes tables for the next generation and runs the statements there. A crash
	// leaves what was committed last, or nothing, to Resume.
	Create(ctx context.Context, statements string) (Tables, error)
	// Resume opens the newest generation that was created and neither put in force nor
	// removed, and that nobody has open, so that its build goes on; nil when there is none.
	// settled tells that Schema.Settle has run there. Where this process alone may write the
	// tables, what other builds left is removed. It is called while no build of the model
	// runs in this process.
	Resume(ctx context.Context) (left Tables, settled bool, err error)
	// Finish makes a created generation durable, with the indexes that queries need, and
	// returns it opened for readers. Indexes that a former Finish made stay. When it fails,
	// built is closed and the generation is gone; where that was because ctx ended, it is
	// left to Resume.
	Finish(ctx context.Context, built Tables, schema Schema) (Tables, error)
	// Promote puts a finished generation, which has come as far as at, in force for every
	// process. It returns ErrBehind, and the former one stays in force, when a process's
	// readers may have seen more. From then on no runner of another process moves the
	// former generation.
	Promote(ctx context.Context, next Tables, at Checkpoint) error
	// Withdraw takes a generation out of force without another one in its place.
	Withdraw(ctx context.Context, generation int64) error
	// Drop removes the generations that kept, which is or was in force, has replaced and
	// that nobody has open.
	Drop(ctx context.Context, kept int64) error
}

// Turns decide which of the processes that share a model's tables runs its projection.
type Turns interface {
	// TryAcquire returns the lease of the projection, or nil when another process may be
	// running it.
	TryAcquire(ctx context.Context) (*Lease, error)
	// InForce returns the number of the generation in force, 0 when there is none, and
	// why its runner stopped: *Poisoned, ErrOvertaken, or nil when it goes on.
	InForce(ctx context.Context) (generation int64, stopped error, err error)
	// Report records why the runner with that token stopped, for the processes that
	// follow it: stopped is as InForce returns it.
	Report(ctx context.Context, token int64, stopped error) error
}

// Lease is the right of one process to run one projection. Its token fences: it only
// grows, the checkpoint keeps it, and a runner whose token is lower than the one kept
// there no longer moves the checkpoint, however late it wakes up.
type Lease struct {
	Held    context.Context // ends when the lease is lost
	Token   int64
	Release func() // gives the lease back; called exactly once
}

// Tables are one generation, opened. Close is called when nobody reads or writes any
// more; the other methods may be called concurrently, but for Begin and Clean, which
// one goroutine calls.
type Tables interface {
	// Generation returns the number by which the medium knows these tables: from 1, and
	// higher than that of every earlier generation of the model.
	Generation() int64
	// Begin begins a transaction on the one connection that writes. It ends with Commit
	// or Rollback only, not with ctx.
	Begin(ctx context.Context) (Transaction, error)
	// Reader is the pool for queries. Tables that are being built may have none.
	Reader() *sqlx.DB
	// Each is [View.Each].
	Each(ctx context.Context, query string, args []any, row func(Row) error) error
	// Clean removes the bytes of deleted rows; done is false when a reader still sees
	// them, and Clean must be called again.
	Clean(ctx context.Context) (done bool, err error)
	// Fault classifies an error that one of these methods, or a statement, returned.
	Fault(err error) Fault
	Close() error
	// Remove deletes tables that are closed, unless another process has them open.
	Remove(ctx context.Context) error
}

// Transaction writes to tables. A query's text is constant, with ? for each argument.
type Transaction interface {
	// Exec runs a statement and returns how many rows it changed. One that failed may have
	// left a part of its changes: the transaction must be rolled back.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Get reads the first row of a query into dest and reports whether there was one.
	Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error)
	Commit() error
	// Rollback after Commit does nothing.
	Rollback() error
}

// Row is one row of [View.Each]. Its columns count from 0, and what they return
// without copying is valid until the visitor returns.
type Row interface {
	// Int64 returns a whole number; 0 for NULL.
	Int64(column int) int64
	// Bytes returns a BYTEA without copying it; nil for NULL.
	Bytes(column int) []byte
	// Text returns a TEXT without copying it; empty for NULL.
	Text(column int) []byte
}

// Fault is what an error tells of the medium.
type Fault int

// Faults of a medium.
const (
	// NoFault: the error is about what was asked.
	NoFault Fault = iota
	// Passing: the medium is full or busy, and the same statement may succeed later.
	Passing
	// Away: the medium cannot be reached, or the connection to it broke.
	Away
	// Dropped: the tables are not there any more.
	Dropped
	// Damaged: what is stored is not what was written. The tables are of no use any more.
	Damaged
)

// ErrBehind: a generation shows less than the one in force, which stays there.
var ErrBehind = errors.New("projections: the new generation is not as far as the one in force")
