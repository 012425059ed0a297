package eventstore

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/domain"
	"coffre/eventstore/spans"
)

// Codec translates between domain events and their stored form. See package codec.
type Codec interface {
	// Encode returns the permanent name of the event's form, the JSON of its clear
	// fields, and the JSON of its personal part (nil when it has none).
	Encode(event any) (typ string, clear, personal []byte, err error)
	// Decode returns the event as it is understood today; old forms are brought up
	// to date. personal is nil while it stays sealed.
	Decode(typ string, clear, personal []byte) (event any, err error)
}

// Event is a record whose clear part was decoded. Its personal part stays sealed
// until [OpenEvent].
type Event struct {
	Record
	Data any // a value of one of the types in codec.Catalog
}

// Log is a Store that speaks domain events. It seals personal parts and cannot open
// them. Make it with [NewLog]; its methods may be called concurrently.
type Log struct {
	store  Store
	codec  Codec
	sealer Sealer
	now    func() time.Time
	leaves LeafIndex
	told   func(Position) // of appends that were acknowledged
	knows  func(context.Context, Stream) (bool, error)

	turns  StreamLocks
	flying flights
	folded *lru.Cache[Stream, any] // of snapshot[S], see transact.go
}

// LeafIndex maps a store's positions to leaf numbers, which are what leaves the
// vault. The map is never reassigned.
type LeafIndex interface {
	// Leaf returns the number of the last leaf at or before p; -1 before the first.
	Leaf(ctx context.Context, p Position) (int64, error)
	// Position returns where the leaf with that number lies. For a number below 0 it
	// returns the zero Position; beyond the log it may return a position not reached yet.
	Position(ctx context.Context, leaf int64) (Position, error)
}

// DenseLeaves is the LeafIndex of stores whose positions count 1, 2, 3… over our
// records alone.
type DenseLeaves struct{}

func (DenseLeaves) Leaf(_ context.Context, p Position) (int64, error) {
	return int64(p.Commit) - 1, nil
}

func (DenseLeaves) Position(_ context.Context, leaf int64) (Position, error) {
	if leaf < 0 {
		return Position{}, nil
	}
	return Position{uint64(leaf) + 1, uint64(leaf) + 1}, nil
}

// Options of a Log. Store, Codec and Sealer are required.
type Options struct {
	Store  Store
	Codec  Codec
	Sealer Sealer
	Now    func() time.Time // default time.Now
	Leaves LeafIndex        // default DenseLeaves
	// Appended is told where each append ended that was acknowledged, before its caller is;
	// it is called concurrently. nil: nobody asks.
	Appended func(Position)
	// Knows reports whether something besides the store, such as a read model, remembers
	// that a stream has records. It is asked when the store says that there are none, and
	// called concurrently. nil: nothing does.
	Knows func(context.Context, Stream) (bool, error)
	// CachedStreams bounds the folded states kept in memory; default 20,000.
	CachedStreams int
}

// NewLog returns a Log over o.Store, which the caller still owns and closes.
func NewLog(o Options) *Log {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Leaves == nil {
		o.Leaves = DenseLeaves{}
	}
	if o.CachedStreams <= 0 {
		o.CachedStreams = 20_000
	}
	if o.Appended == nil {
		o.Appended = func(Position) {}
	}
	folded, err := lru.New[Stream, any](o.CachedStreams)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Log{
		store: o.Store, codec: o.Codec, sealer: o.Sealer, now: o.Now, leaves: o.Leaves,
		told: o.Appended, knows: o.Knows, folded: folded,
	}
}

// Store returns the store under the log, for those who move records as they are.
func (l *Log) Store() Store { return l.store }

// Leaves returns the map between positions and leaves.
func (l *Log) Leaves() LeafIndex { return l.leaves }

// Read yields the events of s from revision from in order; none if s does not exist. A
// stream whose records are gone while something still knows it ends with *Corrupt: it is
// never taken for one that was never there.
func (l *Log) Read(ctx context.Context, s Stream, from Revision) iter.Seq2[Event, error] {
	records := l.traced(ctx, "log.read", func(ctx context.Context) iter.Seq2[Record, error] { return l.store.ReadStream(ctx, s, from) })
	if l.knows != nil && from == 0 {
		records = l.unlessKnown(ctx, s, records)
	}
	return l.decoded(records)
}

// unlessKnown yields the records of a stream, and *Corrupt when there are none of a stream
// that something knows.
func (l *Log) unlessKnown(ctx context.Context, s Stream, records iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		n := 0
		for r, err := range records {
			if n++; !yield(r, err) {
				return
			}
		}
		if n > 0 {
			return
		}
		known, err := l.knows(ctx, s)
		switch {
		case err != nil:
			yield(Record{}, err)
		case known:
			yield(Record{}, &Corrupt{Stream: s, Revision: 0})
		}
	}
}

// ReadAll yields at most limit events after the given position, in order.
func (l *Log) ReadAll(ctx context.Context, after Position, limit int) iter.Seq2[Event, error] {
	return l.decoded(l.traced(ctx, "log.read", func(ctx context.Context) iter.Seq2[Record, error] { return l.store.ReadAll(ctx, after, limit) }))
}

// Wait returns nil when there may be an event after the given position.
func (l *Log) Wait(ctx context.Context, after Position) error { return l.store.Wait(ctx, after) }

// Head returns the position of the last event.
func (l *Log) Head(ctx context.Context) (Position, error) { return l.store.Head(ctx) }

// traced records how long the records take, with what is done with each, and how many they are.
func (l *Log) traced(ctx context.Context, name spans.Word, read func(context.Context) iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	if !spans.Recorded(ctx) {
		return read(ctx)
	}
	return func(yield func(Record, error) bool) {
		ctx, span := spans.Begin(ctx, name)
		var n int64
		var failed error
		defer func() {
			span.Number("coffre.events", n)
			span.End(failed)
		}()
		for r, err := range read(ctx) {
			if failed = err; err == nil {
				n++
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (l *Log) decoded(records iter.Seq2[Record, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for r, err := range records {
			if err != nil {
				yield(Event{}, err)
				return
			}
			data, err := l.Decode(r)
			if !yield(Event{r, data}, err) || err != nil {
				return
			}
		}
	}
}

// Decode returns the event of a record without its personal part, or an
// *Undecodable.
func (l *Log) Decode(r Record) (any, error) {
	data, err := l.codec.Decode(r.Type, r.Clear, nil)
	if err != nil {
		return nil, &Undecodable{Stream: r.Stream, Revision: r.Revision, Position: r.Position, Type: r.Type, Err: err}
	}
	return data, nil
}

// Undecodable: the record is intact, but this program does not know its form.
type Undecodable struct {
	Stream   Stream
	Revision Revision
	Position Position
	Type     string
	Err      error
}

func (e *Undecodable) Error() string {
	return fmt.Sprintf("eventstore: %s at position %d/%d: %v", e.Type, e.Position.Commit, e.Position.Prepare, e.Err)
}

func (e *Undecodable) Unwrap() error { return e.Err }

// record encodes and seals one event for s, to stand there at a revision, which may be
// AnyRevision. Everything else that the sealed part is bound to is known before the
// append: no store changes the time or the bytes it was given.
func (l *Log) record(ctx context.Context, s Stream, at Revision, citizen domain.CitizenID, meta []byte, id uuid.UUID, event any) (Record, error) {
	typ, clear, personal, err := l.codec.Encode(event)
	if err != nil {
		return Record{}, fmt.Errorf("encode: %w", err)
	}
	r := Record{Stream: s, Revision: at, ID: id, Type: typ, Time: l.now().UTC().Truncate(time.Microsecond), Meta: meta, Clear: clear}
	if personal == nil {
		return r, nil
	}
	if citizen.IsZero() {
		return Record{}, fmt.Errorf("seal %s: nobody's key was named for a personal part", typ)
	}
	if r.Sealed, err = l.sealer.Seal(ctx, citizen, r.Place(), personal); err != nil {
		return Record{}, fmt.Errorf("seal %s: %w", typ, err)
	}
	return r, nil
}
