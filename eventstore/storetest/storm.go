package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
)

// Storm is a store in the worst of weathers: 64 writers, 8 tailing readers, and
// restarts at random moments, for 3 s, in a soak for 60 s. Every reader must see
// every record exactly once, in the one order; every append must be there once,
// where its answer says.
type Storm struct {
	Harness
	// Disturb, when not nil, does to what lies beneath the store what may happen to it
	// at any moment, and undoes it: a server that restarts, a network that breaks. It
	// takes turns with Reopen.
	Disturb []func(t testing.TB)
}

const (
	stormMarker = eventstore.Stream("storm-over")
	stormPace   = 20 * time.Millisecond // a writer's longest rest between appends
	stormRetry  = 5 * time.Millisecond  // before something is asked again that is away
)

// weather returns how long a storm lasts and the longest calm between its restarts.
func weather() (lasts, calm time.Duration) {
	if os.Getenv("COFFRE_SOAK") == "1" {
		return time.Minute, time.Second
	}
	return 3 * time.Second, 300 * time.Millisecond
}

// Run runs the storm against the store.
func (w Storm) Run(t *testing.T) {
	s := &storm{t: t, current: w.Open(t), there: map[uuid.UUID]eventstore.Position{}}
	defer func() { s.store().Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.ctx, s.cancel = ctx, cancel
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	over := make(chan struct{}) // closed when the time is up

	var reading, writing sync.WaitGroup
	for i := range readers {
		reading.Go(func() { s.read(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range writers {
		writing.Go(func() { s.write(i, rand.New(rand.NewPCG(seed, 1000+uint64(i))), over) })
	}
	lasts, calm := weather()
	time.AfterFunc(lasts, func() { close(over) })
	restarts := w.restart(s, calm, rand.New(rand.NewPCG(seed, 2000)), over)
	writing.Wait()
	if s.failed() {
		return
	}
	s.append(stormMarker, eventstore.NoStream, Records(1))
	reading.Wait()
	if s.failed() {
		return
	}
	s.check()
	t.Logf("%d records through %d restarts", len(s.order), restarts)
	if possible := w.Reopen != nil || len(w.Disturb) > 0; possible && restarts == 0 {
		t.Error("nothing was restarted")
	}
}

// restart reopens and disturbs until the storm is over, and tells how often.
func (w Storm) restart(s *storm, longest time.Duration, random *rand.Rand, over <-chan struct{}) (n int) {
	var kinds []func()
	if w.Reopen != nil {
		kinds = append(kinds, func() {
			old := s.store()
			if err := old.Close(); err != nil {
				s.fail("close: %v", err)
			}
			s.replace(w.Reopen(s.t, old))
		})
	}
	for _, disturb := range w.Disturb {
		kinds = append(kinds, func() { disturb(s.t) })
	}
	for {
		calm := time.NewTimer(longest/4 + time.Duration(random.Int64N(int64(longest))))
		select {
		case <-calm.C:
		case <-over:
			return n
		case <-s.ctx.Done():
			return n
		}
		if len(kinds) > 0 {
			kinds[n%len(kinds)]()
			n++
		}
	}
}

// storm is what the parties of one run share.
type storm struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	current eventstore.Store
	order   []seen // as the first reader to get there saw it
	there   map[uuid.UUID]eventstore.Position
	written int
}

type seen struct {
	at eventstore.Position
	id uuid.UUID
}

func (s *storm) store() eventstore.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *storm) replace(next eventstore.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = next
}

// fail ends the storm for all.
func (s *storm) fail(format string, args ...any) {
	if s.ctx.Err() == nil {
		s.t.Errorf(format, args...)
	}
	s.cancel()
}

func (s *storm) failed() bool { return s.t.Failed() || s.ctx.Err() != nil }

// passes tells whether err is of the kind that a restart explains.
func passes(err error) bool {
	for _, known := range []error{eventstore.ErrClosed, eventstore.ErrUnavailable, eventstore.ErrOutcomeUnknown, eventstore.ErrOverloaded} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// rest waits; false when the storm has failed meanwhile.
func (s *storm) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// append repeats a batch, with the same ids, until it is answered.
func (s *storm) append(name eventstore.Stream, e eventstore.Expected, records []eventstore.Record) (eventstore.Appended, bool) {
	for {
		done, err := s.store().Append(s.ctx, batch(name, e, records))
		switch {
		case err == nil:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.written += len(records)
			s.there[records[len(records)-1].ID] = done.Position
			return done, true
		case passes(err):
			if !s.rest(stormRetry) {
				return done, false
			}
		default:
			s.fail("append to %s expecting %d: %v", name, e, err)
			return done, false
		}
	}
}

// write appends to a stream of its own at the revision it knows, and to streams that
// others write to as well.
func (s *storm) write(i int, random *rand.Rand, over <-chan struct{}) {
	own, head := eventstore.Stream(fmt.Sprintf("document-%d", i)), eventstore.NoStream
	for {
		records := Records(1 + random.IntN(4))
		name, e := own, head
		if random.IntN(2) == 0 {
			name, e = eventstore.Stream(fmt.Sprintf("consent-%d", random.IntN(writers))), eventstore.Any
		}
		done, ok := s.append(name, e, records)
		if !ok {
			return
		}
		if e == head && name == own {
			if done.First != eventstore.Revision(head)+1 || done.Last != eventstore.Revision(head)+eventstore.Revision(len(records)) {
				s.fail("%s: appended at %d to %d after %d", own, done.First, done.Last, head)
				return
			}
			head = eventstore.Exact(done.Last)
		}
		select {
		case <-over:
			return
		default:
		}
		if !s.rest(time.Duration(random.Int64N(int64(stormPace)))) {
			return
		}
	}
}

// read tails the log, forgets everything but its position now and then, and holds
// what it sees against what others saw in the same place.
func (s *storm) read(i int, random *rand.Rand) {
	var after eventstore.Position
	heads := map[eventstore.Stream]eventstore.Revision{}
	for n := 0; ; {
		stopAt := 1 + random.IntN(2000)
		for r, err := range eventstore.Tail(s.ctx, s.store(), after) {
			if err != nil {
				if s.ctx.Err() != nil {
					return
				}
				if !passes(err) {
					s.fail("reader %d after %v: %v", i, after, err)
					return
				}
				if !s.rest(stormRetry) {
					return
				}
				break
			}
			next, known := heads[r.Stream]
			if known {
				next++
			}
			if r.Position.Compare(after) <= 0 || r.Revision != next {
				s.fail("reader %d: %s@%d at %v after %v, where revision %d is next", i, r.Stream, r.Revision, r.Position, after, next)
				return
			}
			if was, ok := s.same(n, seen{r.Position, r.ID}); !ok {
				s.fail("reader %d saw %v at %v in place %d, where another saw %v at %v", i, r.ID, r.Position, n, was.id, was.at)
				return
			}
			heads[r.Stream], after = r.Revision, r.Position
			n++
			if r.Stream == stormMarker {
				return
			}
			if stopAt--; stopAt == 0 {
				break
			}
		}
	}
}

// same tells whether a reader sees in place n what the others saw there.
func (s *storm) same(n int, now seen) (was seen, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == len(s.order) {
		s.order = append(s.order, now)
	}
	return s.order[n], s.order[n] == now
}

// check compares what all readers saw with the log at rest and with the answers.
func (s *storm) check() {
	all := mustBeWhole(s.t, s.store())
	if len(all) != s.written || len(s.order) != len(all) {
		s.t.Fatalf("%d records were appended, %d are there, %d were seen", s.written, len(all), len(s.order))
	}
	found := make(map[uuid.UUID]eventstore.Position, len(all))
	for i, r := range all {
		if s.order[i] != (seen{r.Position, r.ID}) {
			s.t.Fatalf("the readers saw %v in place %d, where %v is", s.order[i].at, i, r.Position)
		}
		found[r.ID] = r.Position
	}
	if len(found) != len(all) {
		s.t.Fatalf("%d records have %d ids", len(all), len(found))
	}
	for id, at := range s.there {
		if found[id] != at {
			s.t.Fatalf("an append was told %v, its last record is at %v", at, found[id])
		}
	}
}
