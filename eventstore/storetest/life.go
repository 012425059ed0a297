package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"coffre/eventstore"
)

var lifeCases = []testCase{
	{"wait/returns at once for what is there", waitThere},
	{"wait/ends with its context", waitEnds},
	{"close/everything ends with ErrClosed", closed},
	{"close/during appends: each is answered truly", closedUnderLoad},
}

var reopenCases = []testCase{
	{"reopen/keeps every record", reopenKeeps},
	{"reopen/keeps what makes repetition and expectation work", reopenRemembers},
	{"reopen/after a close under load has what was acknowledged", reopenAfterLoad},
}

func waitThere(t *testing.T, h Harness) {
	s := open(t, h)
	first := mustAppend(t, s, stream1, eventstore.NoStream, Records(1))
	mustAppend(t, s, stream2, eventstore.NoStream, Records(1))
	for _, after := range []eventstore.Position{{}, first.Position} {
		if err := s.Wait(t.Context(), after); err != nil {
			t.Fatal(err)
		}
	}
}

func waitEnds(t *testing.T, h Harness) {
	s := open(t, h)
	done := mustAppend(t, s, stream1, eventstore.NoStream, Records(1))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for { // it may wake early
				err := s.Wait(ctx, done.Position)
				if err == nil {
					continue
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want context.Canceled", err)
				}
				return
			}
		})
	}
	cancel()
	wg.Wait()
}

func closed(t *testing.T, h Harness) {
	s := h.Open(t)
	done := mustAppend(t, s, stream1, eventstore.NoStream, Records(1))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				err := s.Wait(t.Context(), done.Position)
				if err == nil {
					continue
				}
				if !errors.Is(err, eventstore.ErrClosed) {
					t.Errorf("wait: %v, want ErrClosed", err)
				}
				return
			}
		})
	}
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if _, err := s.Append(t.Context(), batch(stream1, eventstore.Any, Records(1))); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if _, err := s.Head(t.Context()); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("head: %v, want ErrClosed", err)
	}
	if err := s.Wait(t.Context(), eventstore.Position{}); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("wait: %v, want ErrClosed", err)
	}
	n := 0
	for _, err := range s.ReadAll(t.Context(), eventstore.Position{}, 10) {
		if n++; !errors.Is(err, eventstore.ErrClosed) {
			t.Errorf("read all: %v, want ErrClosed", err)
		}
	}
	for _, err := range s.ReadStream(t.Context(), stream1, 0) {
		if n++; !errors.Is(err, eventstore.ErrClosed) {
			t.Errorf("read stream: %v, want ErrClosed", err)
		}
	}
	if n != 2 {
		t.Errorf("two reads of a closed store yielded %d times", n)
	}
}

func closedUnderLoad(t *testing.T, h Harness) {
	s := h.Open(t)
	loadThenClose(t, s)
}

// loadThenClose closes s while writers append, and returns how each append ended.
// Nobody may be left waiting, nor be told anything but success or ErrClosed.
func loadThenClose(t *testing.T, s eventstore.Store) (acknowledged, refused []eventstore.Record) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	started := make(chan struct{}, writers)
	for i := range writers {
		wg.Go(func() {
			for j := 0; ; j++ {
				records := Records(2)
				_, err := s.Append(t.Context(), batch(eventstore.Stream(fmt.Sprintf("consent-%d", i%8)), eventstore.Any, records))
				mu.Lock()
				switch {
				case err == nil:
					acknowledged = append(acknowledged, records...)
				case errors.Is(err, eventstore.ErrClosed):
					refused = append(refused, records...)
				default:
					t.Errorf("append while closing: %v", err)
				}
				mu.Unlock()
				if err != nil {
					if j == 0 {
						started <- struct{}{}
					}
					return
				}
				if j == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if len(acknowledged) == 0 || len(refused) == 0 {
		t.Fatalf("%d acknowledged, %d refused: the race was not met", len(acknowledged), len(refused))
	}
	return acknowledged, refused
}

func reopen(t *testing.T, h Harness, s eventstore.Store) eventstore.Store {
	t.Helper()
	s = h.Reopen(t, s)
	t.Cleanup(func() { s.Close() })
	return s
}

func reopenKeeps(t *testing.T, h Harness) {
	s := open(t, h)
	interleaved(t, s, 50)
	before := mustBeWhole(t, s)
	for range 3 {
		s = reopen(t, h, s)
		after := mustBeWhole(t, s)
		if len(after) != len(before) {
			t.Fatalf("%d records, were %d", len(after), len(before))
		}
		for i := range after {
			if !Same(after[i], before[i]) || after[i].Position != before[i].Position {
				t.Fatalf("record %d changed from\n%+v to\n%+v", i, before[i], after[i])
			}
		}
	}
}

func reopenRemembers(t *testing.T, h Harness) {
	s := open(t, h)
	records, more := Records(3), Records(2)
	first := mustAppend(t, s, stream1, eventstore.NoStream, records)
	s = reopen(t, h, s)
	again, err := s.Append(t.Context(), batch(stream1, eventstore.NoStream, records))
	first.Repeated = true
	if err != nil || again != first {
		t.Fatalf("repeated: %+v, %v, want %+v", again, err, first)
	}
	s = reopen(t, h, s)
	if again, err := s.Append(t.Context(), batch(stream1, eventstore.Any, records)); err != nil || again != first {
		t.Fatalf("repeated: %+v, %v, want %+v", again, err, first)
	}
	mustConflict(t, s, stream1, eventstore.Exact(1), more, 2)
	second := mustAppend(t, s, stream1, eventstore.Exact(2), more)
	if second.Position.Compare(first.Position) <= 0 {
		t.Fatalf("position %v follows %v", second.Position, first.Position)
	}
	s = reopen(t, h, s)
	mustAppend(t, s, stream1, eventstore.StreamExists, Records(1))
	if n := len(mustBeWhole(t, s)); n != 6 {
		t.Fatalf("%d records, want 6", n)
	}
}

func reopenAfterLoad(t *testing.T, h Harness) {
	s := h.Open(t)
	acknowledged, refused := loadThenClose(t, s)
	s = reopen(t, h, s)
	there := map[[16]byte]int{}
	for _, r := range mustBeWhole(t, s) {
		there[r.ID]++
	}
	for _, r := range acknowledged {
		if there[r.ID] != 1 {
			t.Fatalf("an acknowledged record is there %d times", there[r.ID])
		}
	}
	for _, r := range refused {
		if there[r.ID] != 0 {
			t.Fatal("a refused record is there")
		}
	}
}
