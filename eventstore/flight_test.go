package eventstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/memory"
)

// queued is a store that fixes the place of an append and then waits to be told how it ends.
type queued struct {
	eventstore.Store
	arrived chan chan error
}

func (q queued) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	ends := make(chan error)
	if b.Queued != nil {
		b.Queued()
	}
	q.arrived <- ends
	if err := <-ends; err != nil {
		return eventstore.Appended{}, err
	}
	b.Queued = nil
	return q.Store.Append(ctx, b)
}

// waits fails the test when a write has ended, or came to the store, before what is under
// way there has ended.
func (q queued) waits(t *testing.T, w chan written) {
	t.Helper()
	synctest.Wait()
	select {
	case <-q.arrived:
		t.Fatal("a write came to the store that rests on one that is under way")
	case r := <-w:
		t.Fatalf("a write ended before the one that it rests on: %+v", r)
	default:
	}
}

// written is how a write of a test ended.
type written struct {
	eventstore.Result[counter, mandate.Event]
	err error
}

func write(t *testing.T, l *eventstore.Log, w eventstore.Write, d decide) chan written {
	w.Stream = stream
	out := make(chan written, 1)
	go func() {
		r, err := counters.Transact(t.Context(), l, w, d)
		out <- written{r, err}
	}()
	return out
}

// once accepts a mandate that was not accepted yet.
func once(c counter) ([]mandate.Event, error) {
	if c.accepted > 0 {
		return nil, errNo
	}
	return accept(c)
}

func TestAWriterDoesNotWaitUntilTheOneBeforeIsDurable(t *testing.T) {
	store := queued{memory.New(), make(chan chan error)}
	l := newLog(store, &xor{})
	var ends []chan error
	var writes []chan written
	for range 3 {
		writes = append(writes, write(t, l, eventstore.Write{}, accept))
		ends = append(ends, <-store.arrived) // beside those before, of which none has ended
	}
	for i, w := range writes {
		ends[i] <- nil
		if r := <-w; r.err != nil || int(r.Revision) != i || r.State.accepted != i+1 {
			t.Errorf("write %d: %+v", i, r)
		}
	}
}

func TestWhatRestsOnAnAppendThatFailedIsDecidedAgain(t *testing.T) {
	store := queued{memory.New(), make(chan chan error)}
	l := newLog(store, &xor{})
	first := write(t, l, eventstore.Write{}, accept)
	failing := <-store.arrived
	second := write(t, l, eventstore.Write{}, accept)
	resting := <-store.arrived
	failing <- eventstore.ErrDiskFull
	if r := <-first; !errors.Is(r.err, eventstore.ErrDiskFull) {
		t.Errorf("%+v", r)
	}
	resting <- nil // expects a revision that never was
	again := <-store.arrived
	again <- nil
	if r := <-second; r.err != nil || r.Revision != 0 || r.State.accepted != 1 {
		t.Errorf("%+v", r)
	}
}

// What a reserved append takes the place of is as good as failed: who rests on it must not
// take the reserved one for it.
func TestWhatRestsOnAnAppendThatLostItsPlaceIsDecidedAgain(t *testing.T) {
	inner := memory.New()
	store := queued{inner, make(chan chan error)}
	l, others := newLog(store, &xor{}), newLog(inner, &xor{})
	unlessEnded := func(c counter) ([]mandate.Event, error) {
		if c.ended > 0 {
			return nil, errNo
		}
		return accept(c)
	}
	begun := write(t, l, eventstore.Write{}, unlessEnded)
	ends := <-store.arrived
	ends <- nil
	if r := <-begun; r.err != nil {
		t.Fatal(r.err)
	}
	first := write(t, l, eventstore.Write{}, unlessEnded)
	losing := <-store.arrived
	second := write(t, l, eventstore.Write{}, unlessEnded)
	resting := <-store.arrived
	end := decide(func(counter) ([]mandate.Event, error) { return []mandate.Event{mandate.Ended{At: noon}}, nil })
	if _, err := counters.TransactReserved(t.Context(), others, eventstore.Write{Stream: stream}, end); err != nil {
		t.Fatal(err)
	}
	go func() {
		for again := range store.arrived { // nothing may come: it would be an acceptance after the end
			again <- nil
		}
	}()
	defer close(store.arrived)
	losing <- nil
	resting <- nil
	for i, w := range []chan written{first, second} {
		if r := <-w; !errors.Is(r.err, errNo) {
			t.Errorf("write %d after the end: %+v", i, r)
		}
	}
	if c, last, err := counters.Load(t.Context(), l, stream); err != nil || c.accepted != 1 || c.ended != 1 || last != 1 {
		t.Errorf("%+v at %d, %v", c, last, err)
	}
}

func TestARefusalWaitsForWhatItRestsOn(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome error
		refused bool
	}{{"which is written", nil, true}, {"which is not", eventstore.ErrDiskFull, false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := queued{memory.New(), make(chan chan error)}
				l := newLog(store, &xor{})
				first := write(t, l, eventstore.Write{}, once)
				ends := <-store.arrived
				second := write(t, l, eventstore.Write{}, once)
				store.waits(t, second)
				ends <- c.outcome
				if r := <-first; !errors.Is(r.err, c.outcome) {
					t.Errorf("%+v", r)
				}
				if !c.refused {
					again := <-store.arrived
					again <- nil
				}
				if r := <-second; errors.Is(r.err, errNo) != c.refused || r.err != nil && !c.refused {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// A repetition must not pass the write that it repeats while that is under way.
func TestARepetitionWaitsForWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := queued{memory.New(), make(chan chan error)}
		l := newLog(store, &xor{})
		id := uuid.New()
		w := eventstore.Write{ID: func(int) uuid.UUID { return id }, Settle: true}
		first := write(t, l, w, accept)
		ends := <-store.arrived
		second := write(t, l, w, accept)
		store.waits(t, second)
		ends <- nil
		if r := <-first; r.err != nil || r.Repeated {
			t.Errorf("%+v", r)
		}
		if r := <-second; r.err != nil || !r.Repeated || r.Revision != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// shaky is a queue in front of a store: appends end in the order of their places, some of
// them by failing, some after an unknown outcome.
type shaky struct {
	eventstore.Store
	seeds *rand.Rand
	turns chan func()
}

func (s shaky) Append(ctx context.Context, b eventstore.Batch) (at eventstore.Appended, err error) {
	done := make(chan struct{})
	told := b.Queued
	b.Queued = nil
	s.turns <- func() {
		defer close(done)
		switch s.seeds.IntN(6) {
		case 0:
			err = eventstore.ErrUnavailable
		case 1:
			if _, err = s.Store.Append(ctx, b); err == nil {
				err = eventstore.ErrOutcomeUnknown
			}
		case 2:
			err = eventstore.ErrOutcomeUnknown
		default:
			at, err = s.Store.Append(ctx, b)
		}
	}
	if told != nil {
		told()
	}
	<-done
	return at, err
}

// Whatever fails under way, a limit holds, what was acknowledged is there once, and a
// refusal is true.
func TestALimitHoldsWhateverFailsUnderWay(t *testing.T) {
	for seed := range uint64(30) {
		store := shaky{memory.New(), rand.New(rand.NewPCG(seed, 1)), make(chan func(), 64)}
		go func() {
			for end := range store.turns {
				end()
			}
		}()
		l := newLog(store, &xor{})
		const limit = 10
		limited := func(c counter) ([]mandate.Event, error) {
			if c.accepted >= limit {
				return nil, errNo
			}
			return accept(c)
		}
		var writes []chan written
		for range 40 {
			writes = append(writes, write(t, l, eventstore.Write{}, limited))
		}
		acknowledged := map[eventstore.Revision]bool{}
		for _, w := range writes {
			switch r := <-w; {
			case r.err == nil:
				if acknowledged[r.Revision] {
					t.Errorf("seed %d: revision %d was acknowledged twice", seed, r.Revision)
				}
				acknowledged[r.Revision] = true
			case errors.Is(r.err, errNo):
				if n := count(t, l); n != limit {
					t.Errorf("seed %d: refused at %d", seed, n)
				}
			case !errors.Is(r.err, eventstore.ErrUnavailable):
				t.Errorf("seed %d: %v", seed, r.err)
			}
		}
		n := count(t, l)
		if n > limit || n < len(acknowledged) {
			t.Errorf("seed %d: %d events, %d acknowledged", seed, n, len(acknowledged))
		}
		close(store.turns)
	}
}
