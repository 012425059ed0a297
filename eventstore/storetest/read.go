package storetest

import (
	"context"
	"errors"
	"testing"

	"coffre/eventstore"
)

var readCases = []testCase{
	{"read/an absent stream and an empty store yield nothing", absent},
	{"read/a stream from any revision", fromRevision},
	{"read/all resumes from any position with any limit", resume},
	{"read/ahead yields what reading one by one does", ahead},
	{"read/gives no alias of the store's bytes", noAliasOut},
	{"read/may be left early, and another begun inside it", leftEarly},
	{"read/ends with its context", readEnds},
	{"read/large records in large numbers", largeReads},
}

func absent(t *testing.T, h Harness) {
	s := open(t, h)
	if n := len(mustBeWhole(t, s)); n != 0 {
		t.Fatalf("an empty store has %d records", n)
	}
	mustAppend(t, s, stream1, eventstore.NoStream, Records(1))
	for _, from := range []eventstore.Revision{0, 1, 1 << 62} {
		if got := readStream(t, s, stream2, from); len(got) != 0 {
			t.Fatalf("absent stream yields %d records", len(got))
		}
	}
}

// interleaved appends n records to two streams in turn, in batches of 1, 2, 3.
func interleaved(t *testing.T, s eventstore.Store, n int) {
	t.Helper()
	for i := 0; n > 0; i++ {
		records := Records(min(n, i%3+1))
		mustAppend(t, s, []eventstore.Stream{stream1, stream2}[i%2], eventstore.Any, records)
		n -= len(records)
	}
}

func fromRevision(t *testing.T, h Harness) {
	s := open(t, h)
	interleaved(t, s, 40)
	whole := readStream(t, s, stream1, 0)
	if len(whole) < 10 {
		t.Fatalf("only %d records", len(whole))
	}
	for from := range len(whole) + 2 {
		got := readStream(t, s, stream1, eventstore.Revision(from))
		if len(got) != max(len(whole)-from, 0) {
			t.Fatalf("from %d: %d records of %d", from, len(got), len(whole))
		}
		for i, r := range got {
			if !Same(r, whole[from+i]) {
				t.Fatalf("from %d: record %d differs", from, i)
			}
		}
	}
}

func resume(t *testing.T, h Harness) {
	s := open(t, h)
	interleaved(t, s, 60)
	all := mustBeWhole(t, s)
	places := []eventstore.Position{{}}
	for _, r := range all {
		places = append(places, r.Position)
	}
	for i, after := range places {
		for _, limit := range []int{1, 7, 1000} {
			got := readAll(t, s, after, limit)
			if len(got) != len(all)-i {
				t.Fatalf("after record %d by %d: %d records, want %d", i, limit, len(got), len(all)-i)
			}
			for j := range got {
				if got[j].Position != all[i+j].Position || !Same(got[j], all[i+j]) {
					t.Fatalf("after record %d by %d: record %d differs", i, limit, j)
				}
			}
		}
	}
}

// ahead reads some pages at once, where the store can, while others write.
func ahead(t *testing.T, h Harness) {
	s := open(t, h)
	interleaved(t, s, h.scaled(1400)) // more than a page of any store
	all := mustBeWhole(t, s)
	for _, from := range []int{-1, 0, len(all) / 2, len(all) - 1} {
		var after eventstore.Position
		if from >= 0 {
			after = all[from].Position
		}
		want := all[from+1:]
		for _, pages := range []int{1, 3, 16} {
			n := 0
			for r, err := range eventstore.ReadAhead(t.Context(), s, after, len(all), pages) {
				if n == 2 {
					mustAppend(t, s, stream2, eventstore.StreamExists, Records(1)) // nothing waits for a reader
				}
				if err != nil || n < len(want) && (!Same(r, want[n]) || r.Position != want[n].Position) {
					t.Fatalf("after record %d, %d pages at once: record %d is another, or %v", from, pages, n, err)
				}
				n++
			}
			if n < len(want) {
				t.Fatalf("after record %d, %d pages at once: %d records, want %d", from, pages, n, len(want))
			}
		}
	}
	for range 50 { // more often than any pool has connections
		for range eventstore.ReadAhead(t.Context(), s, eventstore.Position{}, len(all), 8) {
			break
		}
	}
}

func noAliasOut(t *testing.T, h Harness) {
	s := open(t, h)
	records := Records(3)
	mustAppend(t, s, stream1, eventstore.NoStream, records)
	for range 2 {
		for _, got := range [][]eventstore.Record{readStream(t, s, stream1, 0), readAll(t, s, eventstore.Position{}, 10)} {
			mustBe(t, got, stream1, 0, records)
			for _, r := range got {
				clear(r.Meta)
				clear(r.Clear)
				clear(r.Sealed)
			}
		}
	}
	// Records of one page must not share room either.
	got := readAll(t, s, eventstore.Position{}, 10)
	for i := range got {
		got[i].Meta = append(got[i].Meta, 0)[:len(got[i].Meta)]
		got[i].Clear = append(got[i].Clear, 0)[:len(got[i].Clear)]
		got[i].Sealed = append(got[i].Sealed, 0)[:len(got[i].Sealed)]
	}
	mustBe(t, got, stream1, 0, records)
}

func leftEarly(t *testing.T, h Harness) {
	s := open(t, h)
	interleaved(t, s, 30)
	for range 100 { // more often than any pool has connections
		for _, err := range s.ReadAll(t.Context(), eventstore.Position{}, 20) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		for _, err := range s.ReadStream(t.Context(), stream1, 0) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	var nest func(depth int)
	nest = func(depth int) {
		for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 2) {
			if err != nil {
				t.Fatal(err)
			}
			if depth > 0 {
				nest(depth - 1)
			} else {
				mustAppend(t, s, r.Stream, eventstore.StreamExists, Records(1))
			}
			break
		}
	}
	nest(12) // a read that is open keeps nobody else from reading or writing
	if n := len(mustBeWhole(t, s)); n != 31 {
		t.Fatalf("%d records, want 31", n)
	}
}

func readEnds(t *testing.T, h Harness) {
	s := open(t, h)
	interleaved(t, s, 600)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.ReadAll(ended, eventstore.Position{}, 10) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want context.Canceled", err)
		}
	}
	for _, err := range s.ReadStream(ended, stream1, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want context.Canceled", err)
		}
	}
	if _, err := s.Head(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("head: %v, want context.Canceled", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	n := 0
	for _, err := range s.ReadAll(ctx, eventstore.Position{}, 600) {
		if last = err; err == nil {
			n++
		}
		cancel()
	}
	if n == 600 || !errors.Is(last, context.Canceled) {
		t.Fatalf("cancelled at the first record, the read went on for %d and ended with %v", n, last)
	}
}

func largeReads(t *testing.T, h Harness) {
	s := open(t, h)
	records := Records(12)
	for i := range records {
		records[i].Sealed = make([]byte, eventstore.MaxEvent-200)
		records[i].Sealed[i] = byte(i + 1)
	}
	mustAppend(t, s, stream1, eventstore.NoStream, records)
	mustBe(t, readStream(t, s, stream1, 0), stream1, 0, records)
	mustBe(t, readAll(t, s, eventstore.Position{}, 12), stream1, 0, records)
}
