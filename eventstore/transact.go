package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/spans"
)

// Decider runs commands on the streams of one category, whose events fold into a state
// by Evolve. Evolve must not change what its input shares: states are kept and handed
// to several callers.
type Decider[S, E any] struct {
	Evolve func(S, E) S
}

// Command decides, from the state of one stream, what happens next. No events
// and no error mean that nothing has to happen.
type Command[S, E any] interface{ Decide(S) ([]E, error) }

// Write is all that is recorded with a decision besides the events.
type Write struct {
	Stream  Stream
	Citizen domain.CitizenID // whose key seals personal parts; may be zero when there are none
	Meta    Meta
	// ID gives the id of the i-th event of this write, so that a repetition meets
	// itself. nil makes fresh ids.
	ID func(i int) uuid.UUID
	// Settle looks for ID(0) in the whole stream first: set it when this write may
	// have been tried before with an outcome that nobody knows.
	Settle bool
	// Joins makes TransactReserved append at the revision that its decision saw, and decide
	// again when somebody else came first, so that of two writers at once the second meets the
	// first. After some such turns it appends whatever came between, so that it cannot starve.
	Joins bool
	// Fresh says that the stream most likely does not exist: it is first tried to begin
	// it, and read only when it is there already. The citizen must be the one whose
	// stream it would be.
	Fresh bool
}

// Result of a write. State is the stream's after it.
type Result[S, E any] struct {
	Events   []E
	State    S
	Revision Revision // of the stream's last event as far as known; -1 when it does not exist
	Position Position // of the last event written; zero when nothing was
	Repeated bool     // the events were found, not written now
}

// patience bounds a write whose context has no deadline.
const patience = 10 * time.Second

// joinTries is how often a reserved write that joins decides on what somebody else wrote first.
const joinTries = 16

// ErrBusy: others kept changing the stream until the caller's deadline.
var ErrBusy = domain.NewError(domain.Unavailable, "busy", "others keep changing this; try again")

// snapshot is a folded stream.
type snapshot[S any] struct {
	state    S
	revision Revision
}

// Load returns the state of s, reading what was appended since it was last
// folded here. The state is shared: do not change what it points to.
func (d Decider[S, E]) Load(ctx context.Context, l *Log, s Stream) (state S, last Revision, err error) {
	snap, err := d.refresh(ctx, l, s)
	return snap.state, snap.revision, err
}

// Transact is the write side of one stream: load, fold, decide, seal, append at
// the revision folded, and again if another writer came first, until ctx's
// deadline. Within a process the writers of a stream take turns. A turn ends when the
// append's place is fixed: the next writer decides on the state after it before it is
// durable, and again if it was not written. Refusals are decided on the newest state
// that is durable. After an append with an unknown outcome the stream itself is asked,
// by event id.
func (d Decider[S, E]) Transact(ctx context.Context, l *Log, w Write, cmd Command[S, E]) (_ Result[S, E], err error) {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	ctx, span := spans.Begin(ctx, "log.transact")
	defer func() { span.End(err) }()
	t := turn{log: l, stream: w.Stream}
	if err := t.take(ctx); err != nil {
		return Result[S, E]{}, tooLong(err)
	}
	defer t.end()
	return d.attempt(ctx, l, w, cmd, &t)
}

// turn is a writer's turn at a stream. A nil turn is none: others go on meanwhile.
type turn struct {
	log    *Log
	stream Stream
	unlock func() // nil when it is over
}

// take waits for the turn, unless it is taken already.
func (t *turn) take(ctx context.Context) (err error) {
	if t.unlock == nil {
		t.unlock, err = t.log.turns.Lock(ctx, nil, t.stream)
	}
	return err
}

// alone takes the turn and waits until no append of this process to the stream is under
// way: what is read then holds everything that earlier turns wrote.
func (t *turn) alone(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.take(ctx); err != nil {
		return err
	}
	return t.log.flying.wait(ctx, t.stream)
}

func (t *turn) end() {
	if t.unlock != nil {
		t.unlock()
		t.unlock = nil
	}
}

// TransactReserved is Transact for what must not starve (withdrawal, revocation,
// suspension, holds, requests for erasure): it takes no lock and appends whatever
// revision the stream has by then, in the store's reserved share. The command
// only judges permission, and Evolve copes with any interleaving.
func (d Decider[S, E]) TransactReserved(ctx context.Context, l *Log, w Write, cmd Command[S, E]) (_ Result[S, E], err error) {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	ctx, span := spans.Begin(ctx, "log.transact")
	defer func() { span.End(err) }()
	return d.attempt(ctx, l, w, cmd, nil)
}

func withPatience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

func tooLong(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	return err
}

// attempt decides and appends until that has an outcome. Without a turn it appends in the
// reserved share, after whatever others append meanwhile.
func (d Decider[S, E]) attempt(ctx context.Context, l *Log, w Write, cmd Command[S, E], mine *turn) (Result[S, E], error) {
	var none Result[S, E]
	class := Ordinary
	if mine == nil {
		class = Reserved
	}
	if w.ID == nil {
		fresh := make([]uuid.UUID, 0, 2)
		w.ID = func(i int) uuid.UUID {
			for len(fresh) <= i {
				fresh = append(fresh, uuid.Must(uuid.NewV7()))
			}
			return fresh[i]
		}
	}
	meta, err := encodeMeta(w.Meta)
	if err != nil {
		return none, err
	}
	snap, cached := d.cached(l, w.Stream)
	var follows uuid.UUID // the record that the state rests on, where it may never be
	if mine != nil {
		if ahead, last, under := d.ahead(l, w.Stream); under {
			snap, follows, cached = ahead, last, true
		}
		cached = cached || w.Fresh // a guess, like any state that is remembered
	}
	if !cached || class == Reserved {
		if snap, err = d.refresh(ctx, l, w.Stream); err != nil {
			return none, tooLong(err)
		}
		cached = false
	}
	for try := 0; ; try++ {
		if w.Settle {
			if err := mine.alone(ctx); err != nil { // it may be under way
				return none, tooLong(err)
			}
			if found, err := d.find(ctx, l, w); err != nil || found != nil {
				if err != nil {
					return none, tooLong(err)
				}
				return *found, nil
			}
			w.Settle = false
		}
		events, err := cmd.Decide(snap.state)
		if (err != nil || len(events) == 0) && cached {
			// The state was remembered, and another process may have moved on; or it is one
			// that may never be. A "no" and a "nothing to do" are answers only on the newest
			// state that is durable.
			if err := mine.alone(ctx); err != nil {
				return none, tooLong(err)
			}
			if snap, err = d.refresh(ctx, l, w.Stream); err != nil {
				return none, tooLong(err)
			}
			cached, follows = false, uuid.Nil
			continue
		}
		if err != nil {
			return none, err
		}
		if len(events) == 0 {
			return Result[S, E]{State: snap.state, Revision: snap.revision}, nil
		}
		batch := Batch{Stream: w.Stream, Expected: Exact(snap.revision), Follows: follows, Class: class, Records: make([]Record, len(events))}
		switch {
		case snap.revision < 0:
			batch.Expected = NoStream
		case class == Reserved && !(w.Joins && try < joinTries):
			batch.Expected = StreamExists
		}
		for i, e := range events {
			at := snap.revision + 1 + Revision(i)
			if batch.Expected == StreamExists {
				at = AnyRevision
			}
			if batch.Records[i], err = l.record(ctx, w.Stream, at, w.Citizen, meta, w.ID(i), e); err != nil {
				return none, err
			}
		}
		after := d.fold(snap, events)
		var mid *flight
		if mine != nil {
			batch.Queued = func() {
				mid = l.flying.begin(w.Stream, after, batch.Records[len(events)-1].ID)
				mine.end()
			}
		}
		appending, span := spans.Begin(ctx, "log.append")
		span.Number("coffre.events", int64(len(events)))
		at, err := l.store.Append(appending, batch)
		span.End(err)
		if err == nil {
			l.told(at.Position)
		}
		remember := func() {
			switch {
			case err != nil || at.Repeated:
			case at.Last == after.revision:
				l.folded.Add(w.Stream, after)
			default:
				l.folded.Remove(w.Stream) // others wrote in between
			}
		}
		if mid != nil {
			l.flying.end(w.Stream, mid, remember)
		} else {
			remember()
		}
		var wrong *WrongRevision
		switch {
		case err == nil && at.Repeated:
			// We met ourselves: what was written then counts, and what came after it.
			w.Settle = true
		case err == nil:
			return Result[S, E]{Events: events, State: after.state, Revision: at.Last, Position: at.Position}, nil
		case errors.As(err, &wrong):
			// decide again on what is there now
		case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
			w.Settle = true
		default:
			return none, tooLong(err)
		}
		if try > 0 { // somebody outside this process is as eager: give way a little
			if err := pause(ctx, time.Duration(rand.Int64N(int64(min(try, 20)))+1)*time.Millisecond); err != nil {
				return none, tooLong(err)
			}
		}
		if err := mine.alone(ctx); err != nil {
			return none, tooLong(err)
		}
		if snap, err = d.refresh(ctx, l, w.Stream); err != nil {
			return none, tooLong(err)
		}
		cached, follows = false, uuid.Nil
	}
}

// ahead returns the state after the last append that is under way, which may never be, and
// the id of the stream's last record then.
func (d Decider[S, E]) ahead(l *Log, s Stream) (snapshot[S], uuid.UUID, bool) {
	if under := l.flying.of(s); under != nil {
		snap, ok := under.after.(snapshot[S])
		return snap, under.last, ok
	}
	return snapshot[S]{}, uuid.Nil, false
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d Decider[S, E]) fold(s snapshot[S], events []E) snapshot[S] {
	for _, e := range events {
		s.state = d.Evolve(s.state, e)
		s.revision++
	}
	return s
}

// cached returns what is remembered of the stream, which may be behind.
func (d Decider[S, E]) cached(l *Log, s Stream) (snapshot[S], bool) {
	if v, ok := l.folded.Get(s); ok {
		if snap, ok := v.(snapshot[S]); ok {
			return snap, true
		}
	}
	return snapshot[S]{revision: -1}, false
}

// refresh folds what was appended since the remembered state.
func (d Decider[S, E]) refresh(ctx context.Context, l *Log, s Stream) (snapshot[S], error) {
	snap, _ := d.cached(l, s)
	from := snap.revision
	for e, err := range l.Read(ctx, s, snap.revision+1) {
		if err != nil {
			return snap, fmt.Errorf("read %s: %w", s.Category(), err)
		}
		fact, ok := e.Data.(E)
		if !ok {
			return snap, fmt.Errorf("%s does not belong in a stream of %s", e.Type, s.Category())
		}
		snap.state, snap.revision = d.Evolve(snap.state, fact), e.Revision
	}
	if snap.revision > from {
		l.folded.Add(s, snap)
	}
	return snap, nil
}

// find looks in the whole stream for the events of a write that may have
// happened before; nil means it did not. The state is the one right after them, so
// that whoever repeats a request is answered as the first time.
func (d Decider[S, E]) find(ctx context.Context, l *Log, w Write) (*Result[S, E], error) {
	r, now := Result[S, E]{Repeated: true}, *new(S)
	for e, err := range l.Read(ctx, w.Stream, 0) {
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", w.Stream.Category(), err)
		}
		fact, ok := e.Data.(E)
		if !ok {
			return nil, fmt.Errorf("%s does not belong in a stream of %s", e.Type, w.Stream.Category())
		}
		now = d.Evolve(now, fact)
		if e.ID == w.ID(len(r.Events)) {
			r.Events = append(r.Events, fact)
			r.State, r.Revision, r.Position = now, e.Revision, e.Position
		}
	}
	if len(r.Events) == 0 {
		return nil, nil
	}
	return &r, nil
}
