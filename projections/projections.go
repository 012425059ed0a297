// Package projections is the read side: a [Runner] feeds the log to read models
// and each read model, one package below, answers one question.
//
// A read model is a [Projection]: tables and a function that takes one event in.
// It decides nothing and issues no command. Personal parts of events are copied as
// they are, sealed; whoever discloses one opens it.
//
// Invariant: rows and checkpoint move in one transaction, so a read model always
// equals what a fresh replay up to its checkpoint would make, whatever failed in
// between.
package projections

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"coffre/eventstore"
)

// Latest, as the leaf of a query, stands for everything that the read model has taken
// in. Read models also write it where a row has no end yet.
const Latest int64 = math.MaxInt64

// newest is the leaf of a query about now: a query at leaf L sees the rows with
// from_leaf <= L < to_leaf.
const newest = Latest - 1

// At turns the leaf of a query into a bound for SQL: negative and [Latest] mean
// everything seen so far.
func At(leaf int64) int64 {
	if leaf < 0 || leaf == Latest {
		return newest
	}
	return leaf
}

// Micros returns a time as tables keep it, in microseconds since 1970; 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Instant returns the time that tables keep as [Micros], in UTC.
func Instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Ours reports whether streams of the category are Coffre's. A leaf is a record of
// such a stream; records of others in a shared store are passed by uncounted.
func Ours(category string) bool {
	switch category {
	case "citizen", "document", "consent", "access", "mandate", "refusal", "registry", "audit", "release", "petition", "investigation", "term":
		return true
	}
	return false
}

// Categories lists the categories of Coffre's streams, for stores that are shared with
// others.
func Categories() []string {
	return []string{"citizen", "document", "consent", "access", "mandate", "refusal", "registry", "audit", "release", "petition", "investigation", "term"}
}

// Projection is one read model: its tables, and the function that takes an event in.
type Projection interface {
	// Name is the noun of the question, of lower-case letters only: it is part of
	// file names and shown to operators.
	Name() string

	// Version counts from 1 and is raised whenever the tables or what Apply puts
	// there change: then the model is built anew.
	Version() int

	// Schema says what tables there are.
	Schema() Schema

	// Categories lists the kinds of streams Apply wants to see. The checkpoint moves
	// over all.
	Categories() []string

	// Apply takes in e, whose leaf number is given. It is called for each event once,
	// in log order, and its result depends on nothing but the tables and e. It uses tx
	// only; what it wrote is kept if and only if the checkpoint moves past e. An error
	// stops this projection unless it comes from the medium or from ctx. The
	// event's bytes are valid during the call only.
	Apply(ctx context.Context, tx *Tx, e eventstore.Event, leaf int64) error

	// View is where the projection's queries run; the runner points it at the tables
	// in force. It returns the same view each time.
	View() *View
}

// Gathering is a projection that takes the events of one transaction in together, where
// that costs it fewer statements.
type Gathering interface {
	Projection
	// ApplyAll does what Apply of each event in their order does. After an error that stops
	// the projection Apply is called for them one by one, in a transaction of its own, to
	// find the event.
	ApplyAll(ctx context.Context, tx *Tx, events []Taken) error
}

// Taken is an event with its leaf. Its bytes are valid during the call only.
type Taken struct {
	Event *eventstore.Event
	Leaf  int64
}

// Schema is the tables of one read model, as statements that end with a semicolon, in
// words that SQLite and PostgreSQL share: BIGINT, TEXT, BYTEA. A column that holds the leaf of
// the event that made the row is "from_leaf BIGINT PRIMARY KEY".
type Schema struct {
	// Tables creates the tables and the indexes that Apply itself needs.
	Tables string
	// Indexes creates those that only queries need: a model that is being built gets
	// them at its end.
	Indexes string
	// Settle makes up, once the indexes are there, for what Apply leaves out while
	// [Tx.Building].
	Settle string
}

// IndexesLeft are the statements for Indexes where a former call may have made some.
func (s Schema) IndexesLeft() string {
	return strings.ReplaceAll(s.Indexes, "CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")
}

// Errors of the read side.
var (
	// ErrNotReady: the read model was never built, or is closed.
	ErrNotReady = errors.New("projections: the read model is not ready")
	// ErrUnknown: no projection has that name.
	ErrUnknown = errors.New("projections: no projection of that name")
	// ErrOvertaken: another runner moved the checkpoint; this one must not go on.
	ErrOvertaken = errors.New("projections: another runner moved the checkpoint")
	// ErrAhead: the read model has seen more than the log holds, which happens when
	// an older log was put back. It must be built anew.
	ErrAhead = errors.New("projections: the read model is ahead of the log")
	// ErrDamaged: what is stored of the read model is not what was written; it is built
	// anew.
	ErrDamaged = errors.New("projections: the stored tables are damaged")
)

// Poisoned is the error of a projection that stopped at an event which it cannot take
// in. Other projections go on.
type Poisoned struct {
	Name string
	Leaf int64
	Type string // of the event; "" when the record itself is damaged
	Err  error
}

func (e *Poisoned) Error() string {
	return fmt.Sprintf("projections: %s stopped at leaf %d (%s): %v", e.Name, e.Leaf, e.Type, e.Err)
}

func (e *Poisoned) Unwrap() error { return e.Err }

// Checkpoint is how far a read model has come.
type Checkpoint struct {
	Position eventstore.Position
	Next     int64 // number of the next leaf; equals the number of leaves taken in
}

// check returns an error for a projection with which no program may run.
func check(p Projection) error {
	name := p.Name()
	if name == "" {
		return errors.New("projections: a projection needs a name")
	}
	for _, c := range []byte(name) {
		if c < 'a' || c > 'z' {
			return fmt.Errorf("projections: the name %q has other than lower-case letters", name)
		}
	}
	if p.Version() < 1 {
		return fmt.Errorf("projections: %s: versions count from 1", name)
	}
	for _, c := range p.Categories() {
		if !Ours(c) {
			return fmt.Errorf("projections: %s: there are no streams of %q", name, c)
		}
	}
	return nil
}
