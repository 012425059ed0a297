package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
)

// The tests drive the log with a counter of their own over a kind of event the
// catalogue knows: how often was the mandate accepted?
type counter struct{ accepted, ended int }

func evolve(c counter, e mandate.Event) counter {
	switch e.(type) {
	case mandate.Accepted:
		c.accepted++
	case mandate.Ended:
		c.ended++
	}
	return c
}

var counters = eventstore.Decider[counter, mandate.Event]{Evolve: evolve}

type decide func(counter) ([]mandate.Event, error)

func (d decide) Decide(c counter) ([]mandate.Event, error) { return d(c) }

var (
	ana    = domain.CitizenID{UUID: uuid.MustParse("a0000000-0000-4000-8000-000000000001")}
	stream = eventstore.Stream("mandate-a0000000-0000-4000-8000-000000000002")
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	errNo  = domain.NewError(domain.Conflict, "no", "no")
)

func accept(counter) ([]mandate.Event, error) {
	return []mandate.Event{mandate.Accepted{At: noon}}, nil
}

// xor is a sealer that is no cipher: it shows where sealing happens, and fails on demand.
type xor struct {
	down   atomic.Bool
	erased atomic.Bool
}

func (x *xor) check() error {
	switch {
	case x.down.Load():
		return eventstore.ErrKeysUnavailable
	case x.erased.Load():
		return eventstore.ErrErased
	}
	return nil
}

func (x *xor) Seal(_ context.Context, _ domain.CitizenID, p eventstore.Place, plain []byte) ([]byte, error) {
	out := append([]byte(fmt.Sprint(p)), 0)
	for _, b := range plain {
		out = append(out, b^0x55)
	}
	return out, x.check()
}

func (x *xor) Open(_ context.Context, dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	place, rest, _ := bytes.Cut(sealed, []byte{0})
	if string(place) != fmt.Sprint(p) {
		return nil, eventstore.ErrTampered
	}
	for _, b := range rest {
		dst = append(dst, b^0x55)
	}
	return dst, x.check()
}

func newLog(s eventstore.Store, x *xor) *eventstore.Log {
	return eventstore.NewLog(eventstore.Options{Store: s, Codec: codec.Catalog, Sealer: x, Now: func() time.Time { return noon }})
}

func count(t *testing.T, l *eventstore.Log) int {
	t.Helper()
	n := 0
	for _, err := range l.Read(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestTransactDecidesOnTheNewestState(t *testing.T) {
	store := memory.New()
	one, other := newLog(store, &xor{}), newLog(store, &xor{}) // two processes on one store
	for i := range 5 {
		for _, l := range []*eventstore.Log{one, other} {
			r, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept))
			if err != nil {
				t.Fatal(err)
			}
			if want := 2*i + 1; l == one && r.State.accepted != want {
				t.Fatalf("round %d folded %d, want %d", i, r.State.accepted, want)
			}
		}
	}
	if n := count(t, one); n != 10 {
		t.Fatal(n)
	}
}

// Whoever is told of appends knows where the log ends before a caller does.
func TestAppendsAreToldBeforeTheirCaller(t *testing.T) {
	var told eventstore.Position
	l := eventstore.NewLog(eventstore.Options{Store: memory.New(), Codec: codec.Catalog, Sealer: &xor{}, Appended: func(p eventstore.Position) { told = p }})
	for range 2 {
		r, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept))
		if err != nil || told != r.Position || told.IsZero() {
			t.Fatalf("told %v of %v, %v", told, r.Position, err)
		}
	}
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(func(counter) ([]mandate.Event, error) { return nil, errNo })); err != errNo {
		t.Fatal(err)
	}
	if head, err := l.Head(t.Context()); err != nil || told != head {
		t.Errorf("told %v after a refusal, the log ends at %v, %v", told, head, err)
	}
}

// What is remembered may be behind another process: a refusal must not come from it.
func TestARefusalIsDecidedOnTheNewestState(t *testing.T) {
	store := memory.New()
	one, other := newLog(store, &xor{}), newLog(store, &xor{})
	onlyAfterTwo := decide(func(c counter) ([]mandate.Event, error) {
		if c.accepted < 2 {
			return nil, errNo
		}
		return []mandate.Event{mandate.Ended{At: noon}}, nil
	})
	if _, err := counters.Transact(t.Context(), one, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
		t.Fatal(err)
	}
	if _, err := counters.Transact(t.Context(), one, eventstore.Write{Stream: stream}, onlyAfterTwo); !errors.Is(err, errNo) {
		t.Fatal(err)
	}
	if _, err := counters.Transact(t.Context(), other, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
		t.Fatal(err)
	}
	if _, err := counters.Transact(t.Context(), one, eventstore.Write{Stream: stream}, onlyAfterTwo); err != nil {
		t.Fatal("refused on a stale state: ", err)
	}
}

func TestConcurrentWritersAllSeeEachOther(t *testing.T) {
	store := memory.New()
	logs := []*eventstore.Log{newLog(store, &xor{}), newLog(store, &xor{})}
	var wg sync.WaitGroup
	var seen sync.Map
	for i := range 64 {
		wg.Go(func() {
			r, err := counters.Transact(t.Context(), logs[i%2], eventstore.Write{Stream: stream}, decide(accept))
			if err != nil {
				t.Error(err)
				return
			}
			if _, dup := seen.LoadOrStore(r.State.accepted, true); dup {
				t.Errorf("two writers decided on the same state %d", r.State.accepted)
			}
		})
	}
	wg.Wait()
	if n := count(t, logs[0]); n != 64 {
		t.Fatal(n)
	}
}

// A withdrawal takes no lock: it passes while another holds the stream's.
func TestTransactReservedTakesNoLock(t *testing.T) {
	store := memory.New()
	l := newLog(store, &xor{})
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
		t.Fatal(err)
	}
	deciding, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	tries := 0
	go func() {
		_, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(func(c counter) ([]mandate.Event, error) {
			if tries++; tries == 1 {
				close(deciding)
				<-release
			}
			if c.ended > 0 {
				return nil, errNo
			}
			return []mandate.Event{mandate.Accepted{At: noon}}, nil
		}))
		done <- err
	}()
	<-deciding
	if _, err := counters.TransactReserved(t.Context(), l, eventstore.Write{Stream: stream}, decide(func(counter) ([]mandate.Event, error) {
		return []mandate.Event{mandate.Ended{At: noon}}, nil
	})); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-done; !errors.Is(err, errNo) {
		t.Fatalf("decided before the end, appended after it: %v", err)
	}
}

// A reserved write that joins decides again on what another writer wrote first, in this process
// or another, and takes no lock either.
func TestAReservedWriteThatJoinsMeetsTheOther(t *testing.T) {
	for name, other := range map[string]bool{"in one process": false, "in two": true} {
		store := memory.New()
		mine := newLog(store, &xor{})
		theirs := mine
		if other {
			theirs = newLog(store, &xor{})
		}
		if _, err := counters.Transact(t.Context(), mine, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
			t.Fatal(err)
		}
		end := func(meanwhile func()) decide {
			return func(c counter) ([]mandate.Event, error) {
				if meanwhile != nil {
					once := meanwhile
					meanwhile = nil
					once()
				}
				if c.ended > 0 {
					return nil, nil // joins the one that is there
				}
				return []mandate.Event{mandate.Ended{At: noon}}, nil
			}
		}
		write := eventstore.Write{Stream: stream, Joins: true}
		result, err := counters.TransactReserved(t.Context(), mine, write, end(func() {
			if _, err := counters.TransactReserved(t.Context(), theirs, write, end(nil)); err != nil {
				t.Error(err)
			}
		}))
		if err != nil || len(result.Events) != 0 || result.State.ended != 1 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

// A reserved write that joins is appended after some turns whatever came between, so that
// nobody starves it.
func TestAReservedWriteThatJoinsDoesNotStarve(t *testing.T) {
	store := memory.New()
	l, others := newLog(store, &xor{}), newLog(store, &xor{})
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
		t.Fatal(err)
	}
	tries := 0
	result, err := counters.TransactReserved(t.Context(), l, eventstore.Write{Stream: stream, Joins: true}, decide(func(counter) ([]mandate.Event, error) {
		tries++
		if _, err := counters.Transact(t.Context(), others, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
			t.Error(err)
		}
		return []mandate.Event{mandate.Ended{At: noon}}, nil
	}))
	if err != nil || len(result.Events) != 1 || tries < 2 {
		t.Errorf("%d tries: %+v, %v", tries, result, err)
	}
}

func TestARepeatedWriteMeetsItself(t *testing.T) {
	l := newLog(memory.New(), &xor{})
	id := func(i int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "key", i)) }
	two := decide(func(counter) ([]mandate.Event, error) {
		return []mandate.Event{mandate.Accepted{At: noon}, mandate.Ended{At: noon}}, nil
	})
	first, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream, ID: id}, two)
	if err != nil || first.Repeated {
		t.Fatal(first, err)
	}
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
		t.Fatal(err)
	}
	again, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream, ID: id, Settle: true}, two)
	if err != nil || !again.Repeated || len(again.Events) != 2 || again.Position != first.Position {
		t.Fatal(again, err)
	}
	if n := count(t, l); n != 3 {
		t.Fatal(n)
	}
}

// readCounter counts how often a stream is read.
type readCounter struct {
	eventstore.Store
	reads int
}

func (c *readCounter) ReadStream(ctx context.Context, s eventstore.Stream, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	c.reads++
	return c.Store.ReadStream(ctx, s, from)
}

// A stream said to be fresh is not read when it is, and decided on as it is when
// it is not.
func TestAFreshStreamIsTriedFirst(t *testing.T) {
	c := &readCounter{Store: memory.New()}
	first := eventstore.Write{Stream: stream, ID: func(int) uuid.UUID { return uuid.UUID{1} }, Fresh: true}
	r, err := counters.Transact(t.Context(), newLog(c, &xor{}), first, decide(accept))
	if err != nil || r.State.accepted != 1 || c.reads != 0 {
		t.Fatal(r, c.reads, err)
	}
	l := newLog(c, &xor{}) // remembers nothing
	notTwice := decide(func(c counter) ([]mandate.Event, error) {
		if c.accepted > 0 {
			return nil, errNo
		}
		return accept(c)
	})
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream, Fresh: true}, notTwice); !errors.Is(err, errNo) {
		t.Fatal("decided on a guess: ", err)
	}
	if r, err = counters.Transact(t.Context(), newLog(c, &xor{}), eventstore.Write{Stream: stream, Fresh: true}, decide(accept)); err != nil || r.State.accepted != 2 {
		t.Fatal(r, err)
	}
	// The first write again, after all that came since: its place, and the state it left.
	r, err = counters.Transact(t.Context(), newLog(c, &xor{}), first, decide(accept))
	if err != nil || !r.Repeated || r.Position.Commit != 1 || r.State.accepted != 1 {
		t.Fatal(r, err)
	}
	if n := count(t, l); n != 2 {
		t.Fatal(n)
	}
}

// cutter loses the answer of every append after it took effect.
type cutter struct {
	eventstore.Store
	cut atomic.Bool
}

func (c *cutter) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	a, err := c.Store.Append(ctx, b)
	if err == nil && c.cut.Swap(false) {
		return eventstore.Appended{}, eventstore.ErrOutcomeUnknown
	}
	return a, err
}

func TestAnUnknownOutcomeIsSettledByID(t *testing.T) {
	c := &cutter{Store: memory.New()}
	l := newLog(c, &xor{})
	c.cut.Store(true)
	r, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept))
	if err != nil || !r.Repeated || r.State.accepted != 1 {
		t.Fatal(r, err)
	}
	if n := count(t, l); n != 1 {
		t.Fatal("written twice: ", n)
	}
}

func TestNothingIsStoredInClear(t *testing.T) {
	x := &xor{}
	store := memory.New()
	l := newLog(store, x)
	grant := mandate.Granted{Citizen: ana, Kind: mandate.ParentOfMinor, At: noon, Personal: &mandate.GrantedPersonal{Until: "2031-05-06"}}
	granting := decide(func(counter) ([]mandate.Event, error) { return []mandate.Event{grant}, nil })

	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, granting); err == nil {
		t.Fatal("a personal part was stored without a key's owner")
	}
	x.down.Store(true)
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream, Citizen: ana}, granting); !errors.Is(err, eventstore.ErrKeysUnavailable) {
		t.Fatal(err)
	}
	if head, err := store.Head(t.Context()); err != nil || !head.IsZero() {
		t.Fatal("stored while the keys were away", head, err)
	}
	x.down.Store(false)
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream, Citizen: ana}, granting); err != nil {
		t.Fatal(err)
	}
	for e, err := range l.Read(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if all := string(e.Clear) + string(e.Meta) + string(e.Sealed); strings.Contains(all, "2031") {
			t.Fatal("stored in clear")
		}
		if e.Data.(mandate.Granted).Personal != nil {
			t.Fatal("opened without being asked")
		}
		opened, err := eventstore.OpenEvent(t.Context(), x, codec.Catalog, e)
		if err != nil || opened.(mandate.Granted).Personal.Until != "2031-05-06" {
			t.Fatal(opened, err)
		}
		moved := e
		moved.ID = uuid.New()
		if _, err := eventstore.OpenEvent(t.Context(), x, codec.Catalog, moved); !errors.Is(err, eventstore.ErrTampered) {
			t.Fatal("opened elsewhere: ", err)
		}
		x.erased.Store(true)
		if _, err := eventstore.OpenEvent(t.Context(), x, codec.Catalog, e); !errors.Is(err, eventstore.ErrErased) {
			t.Fatal(err)
		}
	}
}

// A writer that never gets its turn is told so at its deadline, not before.
func TestBusyOnlyAtTheDeadline(t *testing.T) {
	l := newLog(memory.New(), &xor{})
	ctx, cancel := context.WithCancel(t.Context())
	deciding := make(chan struct{})
	go counters.Transact(ctx, l, eventstore.Write{Stream: stream}, decide(func(counter) ([]mandate.Event, error) {
		close(deciding)
		<-ctx.Done()
		return nil, errNo
	}))
	<-deciding
	short, stop := context.WithDeadline(t.Context(), time.Now())
	defer stop()
	_, err := counters.Transact(short, l, eventstore.Write{Stream: stream}, decide(accept))
	if !errors.Is(err, eventstore.ErrBusy) {
		t.Fatal(err)
	}
	cancel()
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept)); err != nil {
		t.Fatal(err)
	}
}

func TestMetadata(t *testing.T) {
	l := newLog(memory.New(), &xor{})
	meta := eventstore.Meta{Actor: domain.Actor{Role: domain.RoleCitizen, Citizen: ana}, Registry: 3, BasedOn: []eventstore.Reference{eventstore.At(stream, 4)}}
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream, Meta: meta}, decide(accept)); err != nil {
		t.Fatal(err)
	}
	for e, err := range l.Read(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := e.Metadata()
		if err != nil || m.Actor.Citizen != ana || m.Registry != 3 || m.SchemaVersion != 1 || m.BasedOn[0] != "mandate-a0000000-0000-4000-8000-000000000002@4" {
			t.Fatal(m, err)
		}
		if from, at, ok := m.BasedOn[0].Split(); !ok || from != stream || at != 4 {
			t.Fatal(from, at, ok)
		}
		for _, bad := range []eventstore.Reference{"", "a", "a@", "@1", "a@-1", "a@1@2"} {
			if _, _, ok := bad.Split(); ok {
				t.Errorf("%q is taken for a reference", bad)
			}
		}
		if !e.Time.Equal(noon) {
			t.Fatal(e.Time)
		}
	}
}

// A stream that a read model remembers and the store denies is tampering, for readers and
// for writers, and never a stream that was never there.
func TestWhatIsKnownAndGoneIsNeverAbsent(t *testing.T) {
	other := stream + "0"
	var asked []eventstore.Stream
	var fails error
	l := eventstore.NewLog(eventstore.Options{
		Store: memory.New(), Codec: codec.Catalog, Sealer: &xor{}, Now: func() time.Time { return noon },
		Knows: func(_ context.Context, s eventstore.Stream) (bool, error) {
			asked = append(asked, s)
			return s == stream, fails
		},
	})
	var corrupt *eventstore.Corrupt
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: stream}, decide(accept)); !errors.As(err, &corrupt) || corrupt.Stream != stream {
		t.Errorf("written to a stream whose records are gone: %v", err)
	}
	if _, _, err := counters.Load(t.Context(), l, stream); !errors.Is(err, eventstore.ErrIntegrity) {
		t.Errorf("folded: %v", err)
	}
	if _, err := counters.Transact(t.Context(), l, eventstore.Write{Stream: other}, decide(accept)); err != nil {
		t.Errorf("a stream that nobody knows: %v", err)
	}
	asked = nil
	if _, _, err := counters.Load(t.Context(), l, other); err != nil || asked != nil {
		t.Errorf("of a stream that is there %v was asked; %v", asked, err)
	}
	fails = eventstore.ErrUnavailable
	if _, _, err := counters.Load(t.Context(), l, other+"1"); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("nobody could say: %v", err)
	}
}
