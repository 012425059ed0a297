package leaves_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/leaves"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storetest"
)

// gappy is a store whose positions leave gaps, as KurrentDB's do: those of every
// third record of another store are its own, each a thousand from the next.
type gappy struct{ eventstore.Store }

func spread(p eventstore.Position) eventstore.Position {
	return eventstore.Position{Commit: p.Commit*1000 + 7, Prepare: p.Prepare*1000 + 5}
}

func (g gappy) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range g.Store.ReadAll(ctx, eventstore.Position{Commit: after.Commit / 1000, Prepare: after.Commit / 1000}, 1<<30) {
			if err == nil && r.Position.Commit%3 != 0 {
				continue
			}
			r.Position = spread(r.Position)
			if limit--; limit < 0 || !yield(r, err) {
				return
			}
		}
	}
}

func (g gappy) Head(ctx context.Context) (eventstore.Position, error) {
	var head eventstore.Position
	for r, err := range g.ReadAll(ctx, head, 1<<30) {
		if err != nil {
			return head, err
		}
		head = r.Position
	}
	return head, nil
}

func (g gappy) Wait(ctx context.Context, after eventstore.Position) error {
	return g.Store.Wait(ctx, eventstore.Position{Commit: after.Commit / 1000, Prepare: after.Commit / 1000})
}

func fill(t testing.TB, s eventstore.Store, name eventstore.Stream, n int) {
	t.Helper()
	for ; n > 0; n -= eventstore.MaxBatch {
		records := storetest.Records(min(n, eventstore.MaxBatch))
		if _, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: eventstore.Any, Records: records}); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t testing.TB, path string, s eventstore.Store) *leaves.Index {
	t.Helper()
	x, err := leaves.Open(t.Context(), path, s, func(*eventstore.Corrupt) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// mustMap demands that leaf n is the n-th record, both ways, and what lies between.
func mustMap(t *testing.T, x *leaves.Index, s eventstore.Store) {
	t.Helper()
	n := int64(0)
	leafOf := func(p eventstore.Position) int64 {
		t.Helper()
		leaf, err := x.Leaf(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	}
	if leaf := leafOf(eventstore.Position{}); leaf != -1 {
		t.Fatalf("before everything lies leaf %d", leaf)
	}
	var head eventstore.Position
	for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		head = r.Position
		if p, err := x.Position(t.Context(), n); err != nil || p != head {
			t.Fatalf("leaf %d lies at %v, %v, want %v", n, p, err, head)
		}
		before, after := head, head
		before.Prepare--
		after.Prepare++
		if a, b, c := leafOf(before), leafOf(head), leafOf(after); a != n-1 || b != n || c != n {
			t.Fatalf("around record %d lie leaves %d, %d, %d", n, a, b, c)
		}
		n++
	}
	for _, leaf := range []int64{n, n + 100} {
		if p, err := x.Position(t.Context(), leaf); err != nil || p.Compare(head) <= 0 {
			t.Fatalf("a leaf beyond the log lies at %v, %v", p, err)
		}
	}
	for _, leaf := range []int64{-1, -100} {
		if p, err := x.Position(t.Context(), leaf); err != nil || !p.IsZero() {
			t.Fatalf("a leaf before the log lies at %v, %v", p, err)
		}
	}
	if leaf := leafOf(eventstore.Position{Commit: 1 << 63, Prepare: 1 << 63}); leaf != n-1 {
		t.Fatalf("the last leaf is %d, want %d", leaf, n-1)
	}
}

func TestNumbersInOrderAndKeepsThem(t *testing.T) {
	inner := memory.New()
	s, path := gappy{inner}, filepath.Join(t.TempDir(), "leaves.db")
	x := open(t, path, s)
	mustMap(t, x, s)
	for range 3 { // a later life goes on where an earlier one ended
		fill(t, inner, "consent-1", 400)
		mustMap(t, x, s)
		if found, err := scrubbed(t, x); err != nil || len(found) > 0 {
			t.Fatal(found, err)
		}
		fill(t, inner, "consent-2", 100)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open(t, path, s)
		mustMap(t, x, s)
	}
	// An index made from nothing has the same numbers.
	mustMap(t, open(t, filepath.Join(t.TempDir(), "other.db"), s), s)
}

func TestManyAskWhileTheLogGrows(t *testing.T) {
	inner := memory.New()
	s := gappy{inner}
	x := open(t, filepath.Join(t.TempDir(), "leaves.db"), s)
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(running) }()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 30 {
				if _, err := inner.Append(t.Context(), eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d", i)), Expected: eventstore.Any, Records: storetest.Records(5)}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 60 {
				head, err := s.Head(t.Context())
				if err != nil {
					t.Error(err)
				}
				leaf, err := x.Leaf(t.Context(), head)
				if err != nil {
					t.Error(err)
				}
				if p, err := x.Position(t.Context(), leaf); err != nil || p != head {
					t.Errorf("leaf %d of %v lies at %v, %v", leaf, head, p, err)
				}
			}
		})
	}
	wg.Wait()
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	mustMap(t, x, s)
}

func TestAnotherLogIsRefused(t *testing.T) {
	for what, other := range map[string]func(*memory.Store){
		"empty":         func(*memory.Store) {},
		"shorter":       func(s *memory.Store) { fill(t, s, "consent-1", 30) },
		"other records": func(s *memory.Store) { fill(t, s, "consent-1", 400) },
	} {
		inner, path := memory.New(), filepath.Join(t.TempDir(), "leaves.db")
		fill(t, inner, "consent-1", 300)
		x := open(t, path, gappy{inner})
		if _, err := x.Leaf(t.Context(), eventstore.Position{Commit: 1 << 62}); err != nil {
			t.Fatal(err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		changed := memory.New()
		other(changed)
		_, err := leaves.Open(t.Context(), path, gappy{changed}, func(*eventstore.Corrupt) {})
		if !errors.Is(err, leaves.ErrOtherLog) {
			t.Errorf("%s: %v, want ErrOtherLog", what, err)
		}
		ahead, isAhead := errors.AsType[*leaves.Ahead](err)
		if older := what != "other records"; isAhead != older {
			t.Errorf("%s: %v, an *Ahead: %t, want %t", what, err, isAhead, older)
		} else if older && ahead.Last.Compare(ahead.Head) <= 0 {
			t.Errorf("%s: numbered up to %v, and the log ends at %v", what, ahead.Last, ahead.Head)
		}
		open(t, path, gappy{inner}) // refusing it changed nothing
	}
}

func scrubbed(t *testing.T, x *leaves.Index) (found []eventstore.Corrupt, err error) {
	err = x.Scrub(t.Context(), 1<<20, func(c *eventstore.Corrupt) { found = append(found, *c) })
	return found, err
}

// changed is a store that, once told to, no longer yields what it did.
type changed struct {
	eventstore.Store
	records map[uint64]func(*eventstore.Record) // by position; nil: the record is gone
	cut     uint64                              // the first position that is gone with all after it; 0: none
}

func (c *changed) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range c.Store.ReadAll(ctx, after, 1<<30) {
			change, is := c.records[r.Position.Commit]
			if is && change == nil || c.cut > 0 && r.Position.Commit >= c.cut {
				continue
			}
			if is {
				change(&r)
			}
			if limit--; limit < 0 || !yield(r, err) {
				return
			}
		}
	}
}

// What changed long before the end is met by the scrubber, not by a start.
func TestScrubNamesWhatWasChanged(t *testing.T) {
	inner := memory.New()
	for range 5 {
		fill(t, inner, "consent-1", 400)
	}
	store, path := &changed{Store: inner}, filepath.Join(t.TempDir(), "leaves.db")
	x := open(t, path, store)
	if _, err := x.Leaf(t.Context(), eventstore.Position{Commit: 1 << 62}); err != nil {
		t.Fatal(err)
	}
	fill(t, inner, "consent-2", 10) // not numbered yet, and not compared
	alter := func(r *eventstore.Record) { r.Clear = []byte(`{"else":1}`) }
	for what, test := range map[string]struct {
		records map[uint64]func(*eventstore.Record)
		cut     uint64
		want    []uint64
	}{
		"nothing":            {nil, 0, nil},
		"two records":        {map[uint64]func(*eventstore.Record){5: alter, 1500: alter}, 0, []uint64{5, 1500}},
		"a record is gone":   {map[uint64]func(*eventstore.Record){5: alter, 7: nil, 9: alter}, 0, []uint64{5, 7, 9}},
		"the end is gone":    {nil, 1990, []uint64{1990}},
		"a page's end":       {nil, 1025, []uint64{1025}},
		"everything is gone": {nil, 1, []uint64{1}},
	} {
		store.records, store.cut = test.records, test.cut
		found, err := scrubbed(t, x)
		var at []uint64
		for _, c := range found {
			at = append(at, c.Position.Commit)
		}
		if err != nil || !slices.Equal(at, test.want) {
			t.Errorf("%s: found %v, %v, want %v", what, at, err, test.want)
		}
	}
	store.records, store.cut = map[uint64]func(*eventstore.Record){5: alter}, 0
	open(t, path, store)
	// A stream that was deleted, records and all: the others go on, also at a start.
	holes := map[uint64]func(*eventstore.Record){1023: nil, 1024: nil, 1025: nil, 1990: nil, 1995: nil}
	store.records = holes
	if found, err := scrubbed(t, x); err != nil || len(found) != len(holes) {
		t.Errorf("%d records are gone: found %v, %v", len(holes), found, err)
	}
	var told []uint64
	again, err := leaves.Open(t.Context(), path, store, func(c *eventstore.Corrupt) { told = append(told, c.Position.Commit) })
	if err != nil || !slices.Equal(told, []uint64{1990, 1995}) {
		t.Fatalf("a start after records near the end were deleted: told of %v, %v", told, err)
	}
	if p, err := again.Position(t.Context(), 1998); err != nil || p.Commit != 1999 {
		t.Errorf("leaf 1998 lies at %v, %v", p, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	store.records = map[uint64]func(*eventstore.Record){1999: alter}
	if _, err := leaves.Open(t.Context(), path, store, func(*eventstore.Corrupt) {}); !errors.Is(err, leaves.ErrOtherLog) {
		t.Errorf("a start after the end was changed: %v, want ErrOtherLog", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	store.records = map[uint64]func(*eventstore.Record){5: alter}
	if err := x.Scrub(ctx, 1, func(*eventstore.Corrupt) { stop() }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A record that is damaged is told of and ends nothing but the numbering behind it.
func TestADamagedRecordDoesNotEndTheIndex(t *testing.T) {
	inner, told := memory.New(), make(chan *eventstore.Corrupt, 10)
	fill(t, inner, "consent-1", 5)
	rule := faulty.At(faulty.ReadAll, 1, faulty.Fault{Before: &eventstore.Corrupt{Stream: "consent-1", Revision: 3}})
	x, err := leaves.Open(t.Context(), filepath.Join(t.TempDir(), "leaves.db"), faulty.New(inner, rule), func(c *eventstore.Corrupt) { told <- c })
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	select {
	case c := <-told:
		if c.Stream != "consent-1" || c.Revision != 3 {
			t.Errorf("told of %+v", c)
		}
	case err := <-ended:
		t.Fatalf("it ended with %v", err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// What nobody may do through SQL either.
func TestRowsStay(t *testing.T) {
	inner, path := memory.New(), filepath.Join(t.TempDir(), "leaves.db")
	fill(t, inner, "consent-1", 30)
	x := open(t, path, gappy{inner})
	if _, err := x.Leaf(t.Context(), eventstore.Position{Commit: 1 << 62}); err != nil {
		t.Fatal(err)
	}
	db, err := sqlitedb.Open(t.Context(), path, sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{`UPDATE leaves SET commit_position = 1`, `DELETE FROM leaves`, `REPLACE INTO leaves SELECT * FROM leaves`} {
		if _, err := db.Writer.Exec(statement); err == nil {
			t.Errorf("%s was done", statement)
		}
	}
	mustMap(t, x, gappy{inner})
}
