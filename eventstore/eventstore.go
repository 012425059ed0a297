// Package eventstore keeps what happened: an append-only log of records whose
// personal part is sealed.
//
// The package has two faces. A [Store] moves records and knows nothing of their meaning;
// adapters implement it and storetest says what that takes. A [Log] wraps a
// Store for the rest of the program: it decides, encodes, seals and appends, and
// reads back in the same order.
//
// Invariant: a record that was acknowledged is never changed, moved or lost, and
// nothing personal in it is in clear.
package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Limits that hold on every store alike.
const (
	// MaxEvent bounds the bytes of one record's Meta, Clear and Sealed together.
	MaxEvent = 512 << 10
	// MaxBatch bounds the records of one Append.
	MaxBatch = 256
	// MaxStreamName bounds the bytes of a stream's name, MaxType those of a type's.
	MaxStreamName, MaxType = 128, 128
)

// Stream names one consistency boundary: a category, a dash, an identifier that
// says nothing about a person ("consent-5f0c…"). One stream is about one subject
// and sealed under one key. The registry's stream has no identifier.
type Stream string

// Category returns the part before the first dash.
func (s Stream) Category() string {
	category, _, _ := strings.Cut(string(s), "-")
	return category
}

// Revision numbers the records of one stream from 0, without gaps.
type Revision int64

// Position is an opaque ordered place in one store. The zero Position lies
// before every record. Positions of one store compare with [Position.Compare];
// they mean nothing in another store and never leave the vault.
type Position struct{ Commit, Prepare uint64 }

// Compare returns -1, 0 or 1 as p lies before, at or after q.
func (p Position) Compare(q Position) int {
	switch {
	case p == q:
		return 0
	case p.Commit < q.Commit, p.Commit == q.Commit && p.Prepare < q.Prepare:
		return -1
	}
	return 1
}

// IsZero reports whether p lies before every record.
func (p Position) IsZero() bool { return p == Position{} }

// Expected is what a writer believes of a stream: Exact(r), or one of the three
// constants. The numbers are KurrentDB's.
type Expected int64

const (
	NoStream     Expected = -1 // the stream has no record yet
	Any          Expected = -2 // no belief: append after whatever is there
	StreamExists Expected = -4 // the stream has at least one record
)

// Exact expects the stream's last record to have revision r (r >= 0).
func Exact(r Revision) Expected { return Expected(r) }

// Class says which share of a store's queue an append may use.
type Class int

const (
	Ordinary Class = iota
	// Reserved appends (withdrawal, revocation, suspension, holds, erasure requests)
	// may also use the share that ordinary ones leave free, so that they pass under
	// overload (rule C-6).
	Reserved
)

// Record is an event as it is stored. Everything but Sealed is in clear, so
// nothing but Sealed may be personal.
type Record struct {
	Stream   Stream
	Revision Revision
	Position Position

	ID     uuid.UUID // unique within its stream
	Type   string    // permanent name with its form, "consent.granted/1"
	Time   time.Time // when we recorded it, UTC, whole microseconds
	Meta   []byte    // JSON of [Meta]
	Clear  []byte    // JSON of the event's clear fields
	Sealed []byte    // the personal part, sealed; nil when the event has none

	// Sum is the leaf hash over what stands above but Position, which the store that read
	// the record computed when it compared the record with its checksum. It is zero where
	// nobody did. Whoever changes a copy of a record clears it.
	Sum [32]byte
}

// Size is what counts against MaxEvent.
func (r Record) Size() int { return len(r.Meta) + len(r.Clear) + len(r.Sealed) }

// Batch is one append: all records of one stream, all or nothing.
type Batch struct {
	Stream   Stream
	Expected Expected
	Records  []Record // 1 to MaxBatch; Stream, Revision, Position and Sum are ignored
	Class    Class
	// Follows is the id that the stream's last record has as well, for a writer who decided
	// on an append of its own that may never be: another record in its place is none that
	// the writer saw. Only with Exact; the nil UUID stands for whatever record is there.
	Follows uuid.UUID
	// Queued, unless it is nil, is called at most once, before Append returns, when the
	// batch's place is fixed: every batch appended after that lies behind it, or this one
	// is not written. A store that fixes no place before the outcome does not call it.
	Queued func()
}

// Appended tells where a batch went.
type Appended struct {
	First, Last Revision
	Position    Position // of the last record
	Repeated    bool     // the same records were there already; nothing was written
}

// Store is the port to an append-only log of records, which one adapter per database
// implements. All methods may be called concurrently.
type Store interface {
	// Append writes the batch durably (it survives a power cut once Append
	// returned nil), or nothing. The store keeps no reference to the batch.
	//
	// Repetition: with Exact(n) or NoStream, when the records after revision n (or
	// from 0) already carry exactly these ids, Append answers with their places and
	// Repeated set. With Any and StreamExists it does so when all ids are known in
	// the stream, consecutively and in this order; when only some are, or the
	// ids at that place differ, it returns a *WrongRevision.
	//
	// Errors: *WrongRevision; ErrOverloaded at once when the queue is full;
	// ErrTooLarge, ErrInvalid for a batch no store takes; ErrDiskFull; ErrFailed
	// after the medium broke a promise, until the store is reopened; ErrUnavailable
	// when the store is away; ErrClosed. When ctx ends while the batch waits,
	// nothing was written and ctx's error is returned; when it ends later the
	// outcome is unknown and the error is ErrOutcomeUnknown: the caller settles it by
	// repeating the append with the same ids or by reading.
	Append(ctx context.Context, b Batch) (Appended, error)

	// ReadStream yields the records of s from revision from in order, up to the
	// last one acknowledged before the call; none if s does not exist.
	ReadStream(ctx context.Context, s Stream, from Revision) iter.Seq2[Record, error]

	// ReadAll yields at most limit records (limit > 0) that lie after the given
	// position, in position order. It never skips a record that commits late: once
	// a record was yielded no record will ever appear before it.
	ReadAll(ctx context.Context, after Position, limit int) iter.Seq2[Record, error]

	// Wait returns nil when a record after the given position may be read, or
	// ctx's error. It may wake early; it never sleeps through.
	Wait(ctx context.Context, after Position) error

	// Head returns the position of the last record; zero when there is none.
	Head(ctx context.Context) (Position, error)

	// Close releases the store; queued appends end with ErrClosed. A second
	// Close does nothing.
	Close() error
}

// Ahead is a store that reads several pages at once, for whoever reads much of the log and
// computes something of every record. [ReadAhead] also serves stores that do not.
type Ahead interface {
	// ReadAhead is ReadAll with up to that many pages (>= 1) read, and held, at once, the
	// ones behind the record that is yielded among them. When it ends none is read any more.
	ReadAhead(ctx context.Context, after Position, limit, pages int) iter.Seq2[Record, error]
}

// ReadAhead reads as [Ahead] says where the store is one, else as ReadAll.
func ReadAhead(ctx context.Context, s Store, after Position, limit, pages int) iter.Seq2[Record, error] {
	if a, ok := s.(Ahead); ok {
		return a.ReadAhead(ctx, after, limit, pages)
	}
	return s.ReadAll(ctx, after, limit)
}

// MaxTogether bounds the batches of one AppendTogether.
const MaxTogether = 1024

// Together is a store that takes batches of many streams in one transaction, for whoever
// copies a log. [AppendTogether] also serves stores that do not.
type Together interface {
	// AppendTogether writes the batches durably in their order with no other record
	// between them, or nothing; all count as [Ordinary]. A batch whose records are there
	// already, as Append has it, counts as written. Errors: those of Append, of the first
	// batch that has one; ErrTooLarge for more than MaxTogether batches.
	AppendTogether(ctx context.Context, batches []Batch) error
}

// CheckTogether returns ErrInvalid or ErrTooLarge for batches that no store may take together.
func CheckTogether(batches []Batch) error {
	if len(batches) > MaxTogether {
		return fmt.Errorf("%d batches: %w", len(batches), ErrTooLarge)
	}
	for _, b := range batches {
		if err := b.Check(); err != nil {
			return err
		}
	}
	return nil
}

// AppendTogether appends the batches in their order, in one transaction where the store is
// a [Together], else one after the other until one fails.
func AppendTogether(ctx context.Context, s Store, batches []Batch) error {
	if t, ok := s.(Together); ok {
		return t.AppendTogether(ctx, batches)
	}
	if err := CheckTogether(batches); err != nil {
		return err
	}
	for _, b := range batches {
		if _, err := s.Append(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// Errors of the port. A read that meets a damaged record yields *Corrupt and ends.
var (
	ErrOverloaded     = errors.New("eventstore: too many appends are waiting")
	ErrTooLarge       = errors.New("eventstore: record or batch is too large")
	ErrInvalid        = errors.New("eventstore: batch breaks the port's rules")
	ErrDiskFull       = errors.New("eventstore: no space left")
	ErrFailed         = errors.New("eventstore: the medium failed; appends are refused until the store is reopened")
	ErrUnavailable    = errors.New("eventstore: the store is away")
	ErrClosed         = errors.New("eventstore: closed")
	ErrOutcomeUnknown = errors.New("eventstore: the append may or may not have happened")
)

// WrongRevision: the stream is not where the writer believed.
type WrongRevision struct {
	Stream   Stream
	Expected Expected
	Actual   Revision // of the last record; -1 when the stream does not exist
}

func (e *WrongRevision) Error() string {
	return fmt.Sprintf("eventstore: %s stream is at revision %d, expected %d", e.Stream.Category(), e.Actual, e.Expected)
}

// ErrIntegrity: what is stored is not what was recorded, or what was recorded is not
// stored any more. Every *Corrupt wraps it, and ErrTampered.
var ErrIntegrity = errors.New("eventstore: what is stored is not what was recorded")

// Corrupt: the record at this place does not match its checksum, is not the one that its
// personal part was sealed for, or is gone. Serving its subject must stop; others go on.
// Revision is -1 where nobody knows it, Stream empty likewise, Position zero.
type Corrupt struct {
	Stream   Stream
	Revision Revision
	Position Position
}

func (e *Corrupt) Error() string {
	return fmt.Sprintf("eventstore: damaged record at position %d/%d (%s, revision %d)", e.Position.Commit, e.Position.Prepare, e.Stream.Category(), e.Revision)
}

func (e *Corrupt) Unwrap() error { return ErrIntegrity }

// Check returns ErrInvalid or ErrTooLarge for a batch that no store may take.
func (b Batch) Check() error {
	switch {
	case b.Stream == "" || len(b.Stream) > MaxStreamName:
		return fmt.Errorf("stream name: %w", ErrInvalid)
	case len(b.Records) == 0:
		return fmt.Errorf("no records: %w", ErrInvalid)
	case len(b.Records) > MaxBatch:
		return fmt.Errorf("%d records: %w", len(b.Records), ErrTooLarge)
	case b.Expected < 0 && b.Expected != Any && b.Expected != NoStream && b.Expected != StreamExists:
		return fmt.Errorf("expected revision: %w", ErrInvalid)
	case b.Expected < 0 && b.Follows != uuid.Nil:
		return fmt.Errorf("a record to follow without its revision: %w", ErrInvalid)
	}
	for i, r := range b.Records {
		switch {
		case r.ID == uuid.Nil, r.Type == "" || len(r.Type) > MaxType, r.Time.IsZero(), r.Time != r.Time.UTC().Truncate(time.Microsecond):
			return fmt.Errorf("record %d lacks an id, a type or a time in whole microseconds UTC: %w", i, ErrInvalid)
		case r.Size() > MaxEvent:
			return fmt.Errorf("record %d has %d bytes: %w", i, r.Size(), ErrTooLarge)
		}
		for _, earlier := range b.Records[:i] {
			if earlier.ID == r.ID {
				return fmt.Errorf("record %d repeats an id: %w", i, ErrInvalid)
			}
		}
	}
	return nil
}

// Tail yields the records after the given position in order, then waits for
// more until ctx ends, which it yields as an error. It reads in pages.
func Tail(ctx context.Context, s Store, after Position) iter.Seq2[Record, error] {
	const page = 256
	return func(yield func(Record, error) bool) {
		for {
			n := 0
			for r, err := range s.ReadAll(ctx, after, page) {
				if !yield(r, err) || err != nil {
					return
				}
				after = r.Position
				n++
			}
			if n > 0 {
				continue
			}
			if err := s.Wait(ctx, after); err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}
