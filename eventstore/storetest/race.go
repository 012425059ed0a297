package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore"
)

const (
	writers = 64
	readers = 8
)

var raceCases = []testCase{
	{"race/64 writers of one stream: one winner for each revision", oneWinner},
	{"race/64 writers that expect no stream: one creates it", oneCreator},
	{"race/64 writers that expect nothing all succeed", anyWriters},
	{"race/8 readers see 64 writers in one order without gaps", tailing},
	{"race/a repeated append racing itself is there once", racingRepeats},
	{"race/cancelled appends are all or nothing, and say which", cancelled},
	{"race/a waiting reader is woken", wakeUps},
	{"race/what is appended once another's place is fixed lies behind it", pipelined},
	{"race/what rests on a record is not written after another one", resting},
}

// oneWinner lets every writer append at the revision it last saw, as the callers
// of a Log do. Each revision must have had exactly one winner.
func oneWinner(t *testing.T, h Harness) {
	s := open(t, h)
	perWriter := h.scaled(4)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			head := eventstore.NoStream
			for wins := 0; wins < perWriter; {
				done, err := s.Append(t.Context(), batch(stream1, head, Records(1)))
				if wrong, ok := errors.AsType[*eventstore.WrongRevision](err); ok {
					if eventstore.Expected(wrong.Actual) <= head && head >= 0 {
						t.Errorf("expecting %d was wrong, though the stream was at %d", head, wrong.Actual)
						return
					}
					head = eventstore.Exact(wrong.Actual)
					continue
				}
				if err != nil || done.Repeated || done.First != eventstore.Revision(head)+1 {
					t.Errorf("expecting %d: %+v, %v", head, done, err)
					return
				}
				won.Add(1)
				wins++
				head = eventstore.Exact(done.Last)
			}
		})
	}
	wg.Wait()
	if n := int64(len(mustBeWhole(t, s))); n != won.Load() || n != int64(writers*perWriter) {
		t.Fatalf("%d records for %d successes, want %d", n, won.Load(), writers*perWriter)
	}
}

// pipelined appends to one stream as the callers of a Log do: each expects the revision of
// the one before, as soon as that one's place is fixed, and before it is durable.
func pipelined(t *testing.T, h Harness) {
	s := open(t, h)
	n := h.scaled(100)
	var wg sync.WaitGroup
	var told atomic.Int64
	for i := range n {
		fixed := make(chan struct{})
		wg.Go(func() {
			b := batch(stream1, eventstore.Expected(i-1), Records(1))
			once := false
			b.Queued = func() {
				if once {
					t.Errorf("append %d: told twice", i)
				}
				once = true
				told.Add(1)
				close(fixed)
			}
			done, err := s.Append(t.Context(), b)
			if err != nil || done.First != eventstore.Revision(i) {
				t.Errorf("append %d: %+v, %v", i, done, err)
			}
			if !once {
				close(fixed)
			}
		})
		<-fixed
	}
	wg.Wait()
	if told := told.Load(); told != 0 && told != int64(n) {
		t.Errorf("%d of %d places were told", told, n)
	}
	if whole := mustBeWhole(t, s); len(whole) != n {
		t.Fatalf("%d records, want %d", len(whole), n)
	}
}

// resting appends chains of records, each of which expects the one before it as soon as that
// one's place is fixed, while others append whatever revision the stream has. What stands
// before a record of a chain must be the one that it expected.
func resting(t *testing.T, h Harness) {
	s := open(t, h)
	mustAppend(t, s, stream1, eventstore.NoStream, Records(1))
	rounds := h.scaled(40)
	expected := map[uuid.UUID]uuid.UUID{}
	written := 0
	for range rounds {
		var head eventstore.Record
		for r, err := range s.ReadStream(t.Context(), stream1, 0) {
			if err != nil {
				t.Fatal(err)
			}
			head = r
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Append(t.Context(), batch(stream1, eventstore.StreamExists, Records(1))); err != nil {
				t.Error(err)
			}
		})
		written++
		last, at := head.ID, eventstore.Exact(head.Revision)
		var won atomic.Int64
		for range 5 {
			b := batch(stream1, at, Records(1))
			b.Follows = last
			expected[b.Records[0].ID] = last
			fixed := make(chan struct{})
			told := sync.OnceFunc(func() { close(fixed) })
			b.Queued = told
			wg.Go(func() {
				_, err := s.Append(t.Context(), b)
				if _, wrong := errors.AsType[*eventstore.WrongRevision](err); err == nil {
					won.Add(1)
				} else if !wrong {
					t.Error(err)
				}
				told()
			})
			<-fixed
			last, at = b.Records[0].ID, at+1
		}
		wg.Wait()
		written += int(won.Load())
	}
	all := readStream(t, s, stream1, 0)
	for i, r := range all {
		if before, chained := expected[r.ID]; chained && all[i-1].ID != before {
			t.Errorf("revision %d was written after a record that it did not expect", r.Revision)
		}
	}
	if len(all) != 1+written {
		t.Fatalf("%d records, want %d", len(all), 1+written)
	}
}

func oneCreator(t *testing.T, h Harness) {
	s := open(t, h)
	for round := range h.scaled(5) {
		name := eventstore.Stream(fmt.Sprintf("consent-%d", round))
		var won, conflicts atomic.Int64
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				<-start
				_, err := s.Append(t.Context(), batch(name, eventstore.NoStream, Records(2)))
				if _, conflict := errors.AsType[*eventstore.WrongRevision](err); conflict {
					conflicts.Add(1)
				} else if err != nil {
					t.Error(err)
				} else {
					won.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 || conflicts.Load() != writers-1 {
			t.Fatalf("%d writers won, %d were told", won.Load(), conflicts.Load())
		}
		if n := len(readStream(t, s, name, 0)); n != 2 {
			t.Fatalf("%d records, want 2", n)
		}
	}
}

func anyWriters(t *testing.T, h Harness) {
	s := open(t, h)
	perWriter := h.scaled(4)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range perWriter {
				if _, err := s.Append(t.Context(), batch(stream1, eventstore.Any, Records(3))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(mustBeWhole(t, s)); n != 3*writers*perWriter {
		t.Fatalf("%d records, want %d", n, 3*writers*perWriter)
	}
}

// tailing is the case other stores got wrong (late committers skipped): readers
// follow the log while it is written, forget everything but a position now and
// then, and must end with exactly what is in it.
func tailing(t *testing.T, h Harness) {
	s := open(t, h)
	perWriter := h.scaled(8)
	const marker = "last-0"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fail := func(format string, args ...any) {
		t.Errorf(format, args...)
		cancel()
	}

	seen := make([][]eventstore.Position, readers)
	var reading sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			var after eventstore.Position
			heads := map[eventstore.Stream]eventstore.Revision{}
			for {
				limit := 1 + random.IntN(200)
				stopAt := 1 + random.IntN(200) // a restart in the middle of a page
				for r, err := range s.ReadAll(ctx, after, limit) {
					if err != nil {
						fail("reader %d: %v", i, err)
						return
					}
					next, known := heads[r.Stream]
					if known {
						next++
					}
					if r.Position.Compare(after) <= 0 || r.Revision != next {
						fail("reader %d: %s@%d at %v after %v, where revision %d is next", i, r.Stream, r.Revision, r.Position, after, next)
						return
					}
					heads[r.Stream], after = r.Revision, r.Position
					seen[i] = append(seen[i], r.Position)
					if r.Stream == marker {
						return
					}
					if stopAt--; stopAt == 0 {
						break
					}
				}
				if err := s.Wait(ctx, after); err != nil {
					fail("reader %d: wait: %v", i, err)
					return
				}
			}
		})
	}

	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range perWriter {
				name := eventstore.Stream(fmt.Sprintf("consent-%d", random.IntN(3*writers)))
				if _, err := s.Append(ctx, batch(name, eventstore.Any, Records(1+random.IntN(4)))); err != nil {
					fail("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	writing.Wait()
	if _, err := s.Append(ctx, batch(marker, eventstore.NoStream, Records(1))); err != nil {
		fail("marker: %v", err)
	}
	reading.Wait()
	if t.Failed() {
		return
	}
	all := mustBeWhole(t, s)
	if len(all) < writers*perWriter {
		t.Fatalf("only %d records", len(all))
	}
	for i := range seen {
		if len(seen[i]) != len(all) {
			t.Fatalf("reader %d saw %d of %d records", i, len(seen[i]), len(all))
		}
		for j, p := range seen[i] {
			if p != all[j].Position {
				t.Fatalf("reader %d saw %v in place %d, where %v is", i, p, j, all[j].Position)
			}
		}
	}
}

func racingRepeats(t *testing.T, h Harness) {
	s := open(t, h)
	for round := range h.scaled(10) {
		name := eventstore.Stream(fmt.Sprintf("consent-%d", round))
		for i, e := range []eventstore.Expected{eventstore.NoStream, eventstore.Exact(2), eventstore.Any, eventstore.StreamExists} {
			records := Records(3)
			answers := make([]eventstore.Appended, 8)
			var wg sync.WaitGroup
			for j := range answers {
				wg.Go(func() {
					var err error
					if answers[j], err = s.Append(t.Context(), batch(name, e, records)); err != nil {
						t.Errorf("expecting %d: %v", e, err)
					}
				})
			}
			wg.Wait()
			fresh := 0
			for _, a := range answers {
				if !a.Repeated {
					fresh++
				}
				a.Repeated = answers[0].Repeated
				if a != answers[0] || a.First != eventstore.Revision(3*i) {
					t.Fatalf("expecting %d: answers %+v and %+v", e, a, answers[0])
				}
			}
			if fresh != 1 {
				t.Fatalf("expecting %d: %d of 8 say they wrote it", e, fresh)
			}
		}
	}
	mustBeWhole(t, s)
}

func cancelled(t *testing.T, h Harness) {
	s := open(t, h)
	type outcome struct {
		records []eventstore.Record
		err     error
	}
	perWriter := h.scaled(10)
	outcomes := make([][]outcome, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range perWriter {
				ctx, cancel := context.WithCancel(t.Context())
				records := Records(3)
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					if (i+j)%3 != 0 {
						cancel()
					}
				}()
				_, err := s.Append(ctx, batch(eventstore.Stream(fmt.Sprintf("consent-%d", i%16)), eventstore.Any, records))
				<-stopped
				cancel()
				outcomes[i] = append(outcomes[i], outcome{records, err})
			}
		})
	}
	wg.Wait()
	// An append whose outcome is unknown may still be under way; repeating it settles it.
	for i, all := range outcomes {
		for _, o := range all {
			if !errors.Is(o.err, eventstore.ErrOutcomeUnknown) {
				continue
			}
			if _, err := s.Append(t.Context(), batch(eventstore.Stream(fmt.Sprintf("consent-%d", i%16)), eventstore.Any, o.records)); err != nil {
				t.Fatalf("repeated to settle it: %v", err)
			}
		}
	}
	there := map[[16]byte]int{}
	for _, r := range mustBeWhole(t, s) {
		there[r.ID]++
	}
	kept := 0
	for _, o := range outcomes {
		for _, o := range o {
			n := 0
			for _, r := range o.records {
				n += there[r.ID]
			}
			switch {
			case n != 0 && n != 3:
				t.Fatalf("%d of 3 records of a batch are there (%v)", n, o.err)
			case o.err == nil && n == 0:
				t.Fatal("an acknowledged batch is not there")
			case o.err == nil:
				kept++
			case errors.Is(o.err, eventstore.ErrOutcomeUnknown):
			case errors.Is(o.err, context.Canceled):
				if n != 0 {
					t.Fatal("a batch said to be cancelled is there")
				}
			default:
				t.Fatalf("cancelling led to %v", o.err)
			}
		}
	}
	if kept == 0 {
		t.Fatal("no append succeeded: nothing was tested")
	}
}

func wakeUps(t *testing.T, h Harness) {
	s := open(t, h)
	turns := h.scaled(200)
	// Writer and reader take turns: any wake-up lost ends in a standstill.
	read := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(read)
		n := 0
		for _, err := range eventstore.Tail(t.Context(), s, eventstore.Position{}) {
			if err != nil {
				t.Error(err)
				return
			}
			if n++; n == turns {
				return
			}
			read <- struct{}{}
		}
	})
	for range turns {
		mustAppend(t, s, stream1, eventstore.Any, Records(1))
		if _, ok := <-read; !ok {
			break
		}
	}
	wg.Wait()
}
