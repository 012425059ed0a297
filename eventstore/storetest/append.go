package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
)

var appendCases = []testCase{
	{"append/numbers records from 0 and tells their places", numbers},
	{"append/of the four expectations each admits only its own", expectations},
	{"append/a batch that follows a record is refused where another one is", followsOneRecord},
	{"append/a refused batch writes nothing", refusedWritesNothing},
	{"append/records come back byte for byte", byteForByte},
	{"append/limits", limits},
	{"append/keeps no alias of the caller's bytes", noAliasIn},
	{"append/a context that has ended writes nothing", endedContext},
	{"append/two batches in a row are both there", biggestBatches},
}

func numbers(t *testing.T, h Harness) {
	s := open(t, h)
	a, b, c := Records(2), Records(1), Records(1)
	first := mustAppend(t, s, stream1, eventstore.NoStream, a)
	second := mustAppend(t, s, stream2, eventstore.NoStream, c)
	third := mustAppend(t, s, stream1, eventstore.Exact(1), b)
	if first.First != 0 || first.Last != 1 || third.First != 2 || third.Last != 2 || second.First != 0 || second.Last != 0 {
		t.Fatalf("revisions %+v %+v %+v", first, second, third)
	}
	if first.Position.Compare(second.Position) >= 0 || second.Position.Compare(third.Position) >= 0 {
		t.Fatalf("positions %v %v %v do not rise", first.Position, second.Position, third.Position)
	}
	mustBe(t, readStream(t, s, stream1, 0), stream1, 0, append(a, b...))
	all := mustBeWhole(t, s)
	if all[1].Position != first.Position || all[2].Position != second.Position || all[3].Position != third.Position {
		t.Fatal("the position answered is not that of the last record")
	}
}

func expectations(t *testing.T, h Harness) {
	s := open(t, h)
	for _, e := range []eventstore.Expected{eventstore.StreamExists, eventstore.Exact(0), eventstore.Exact(5), eventstore.Exact(1<<63 - 1)} {
		mustConflict(t, s, stream1, e, Records(1), -1)
	}
	mustAppend(t, s, stream1, eventstore.NoStream, Records(1))
	mustAppend(t, s, stream2, eventstore.Any, Records(1))
	mustAppend(t, s, stream1, eventstore.Exact(0), Records(1))
	mustAppend(t, s, stream1, eventstore.Any, Records(1))
	mustAppend(t, s, stream1, eventstore.StreamExists, Records(1))
	for _, e := range []eventstore.Expected{eventstore.NoStream, eventstore.Exact(0), eventstore.Exact(2), eventstore.Exact(4), eventstore.Exact(1<<63 - 1)} {
		mustConflict(t, s, stream1, e, Records(1), 3)
	}
	mustConflict(t, s, stream2, eventstore.NoStream, Records(1), 0)
	if n := len(mustBeWhole(t, s)); n != 5 {
		t.Fatalf("%d records, want 5", n)
	}
}

// followsOneRecord expects a record besides its revision, of streams that the store remembers
// and after it was opened anew.
func followsOneRecord(t *testing.T, h Harness) {
	s := open(t, h)
	a, b, c, never := Records(2), Records(1), Records(3), Records(1)
	follow := func(e eventstore.Expected, last, records []eventstore.Record) (eventstore.Appended, error) {
		next := batch(stream1, e, records)
		next.Follows = last[len(last)-1].ID
		return s.Append(t.Context(), next)
	}
	refused := func(e eventstore.Expected, last []eventstore.Record, actual eventstore.Revision) {
		t.Helper()
		_, err := follow(e, last, Records(1))
		if wrong, ok := errors.AsType[*eventstore.WrongRevision](err); !ok || wrong.Actual != actual {
			t.Fatalf("expecting %d: %v, want a wrong revision at %d", e, err, actual)
		}
	}
	refused(eventstore.Exact(0), a, -1)
	mustAppend(t, s, stream1, eventstore.NoStream, a)
	refused(eventstore.Exact(1), never, 1)
	refused(eventstore.Exact(1), a[:1], 1)
	refused(eventstore.Exact(0), a[:1], 1)
	if done, err := follow(eventstore.Exact(1), a, b); err != nil || done.First != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if done, err := follow(eventstore.Exact(1), a, b); err != nil || !done.Repeated {
		t.Fatalf("repeated: %+v, %v", done, err)
	}
	mustAppend(t, s, stream1, eventstore.StreamExists, c)
	refused(eventstore.Exact(5), b, 5)
	if h.Reopen != nil {
		s = h.Reopen(t, s)
		refused(eventstore.Exact(5), c[:2], 5)
	}
	if done, err := follow(eventstore.Exact(5), c, never); err != nil || done.First != 6 {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, e := range []eventstore.Expected{eventstore.NoStream, eventstore.Any, eventstore.StreamExists} {
		if _, err := follow(e, never, Records(1)); !errors.Is(err, eventstore.ErrInvalid) {
			t.Fatalf("expecting %d: %v, want ErrInvalid", e, err)
		}
	}
	if n := len(mustBeWhole(t, s)); n != 7 {
		t.Fatalf("%d records, want 7", n)
	}
}

func refusedWritesNothing(t *testing.T, h Harness) {
	s := open(t, h)
	a := Records(3)
	mustAppend(t, s, stream1, eventstore.NoStream, a)
	mustConflict(t, s, stream1, eventstore.Exact(1), Records(3), 2)
	broken := Records(3)
	broken[2].Type = ""
	if _, err := s.Append(t.Context(), batch(stream1, eventstore.Any, broken)); !errors.Is(err, eventstore.ErrInvalid) {
		t.Fatalf("%v, want ErrInvalid", err)
	}
	if _, err := s.Append(t.Context(), batch(stream2, eventstore.Any, broken)); !errors.Is(err, eventstore.ErrInvalid) {
		t.Fatalf("%v, want ErrInvalid", err)
	}
	mustBe(t, mustBeWhole(t, s), stream1, 0, a)
	mustAppend(t, s, stream2, eventstore.NoStream, Records(1)) // a refusal leaves no stream behind
}

func byteForByte(t *testing.T, h Harness) {
	s := open(t, h)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	times := []time.Time{
		time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
	}
	names := []eventstore.Stream{
		stream1, "registry", "refusal-0123456789-20261122", "access-0198f6a0-0000-7000-8000-000000000001-202611",
		"consent-0198F6A0-0000-7000-8000-000000000001", // another stream than stream1, though the same UUID
		"consent-{0198f6a0-0000-7000-8000-000000000001}", "0198f6a0-0000-7000-8000-000000000001",
		"-", "a-", "consent-0198f6a0000070008000000000000001", "naïve-\u2028'\";--", "nul-\x00-nul", "bytes-\xff\xfe",
		eventstore.Stream(strings.Repeat("x", eventstore.MaxStreamName)),
	}
	want := map[eventstore.Stream][]eventstore.Record{}
	for _, name := range names {
		records := Records(len(times))
		for i, at := range times {
			records[i].Time = at
			records[i].Type = "storetest.type-" + string(rune('a'+i)) + "/12"
		}
		records[0].Meta, records[0].Clear, records[0].Sealed = nil, nil, nil
		records[1].Meta, records[1].Clear, records[1].Sealed = []byte{}, []byte{}, []byte{}
		records[2].Meta, records[2].Clear, records[2].Sealed = every, bytes.Repeat(every, 2), bytes.Repeat(every, 3)
		mustAppend(t, s, name, eventstore.NoStream, records)
		want[name] = records
	}
	mustBeWhole(t, s)
	for _, name := range names {
		got := readStream(t, s, name, 0)
		mustBe(t, got, name, 0, want[name])
		// Nothing has one way to come back, so that a leaf or a size never depends on it.
		for _, r := range got[:2] {
			if r.Meta != nil || r.Clear != nil || r.Sealed != nil {
				t.Fatalf("%q: empty parts read as %v, %v, %v, want nil", name, r.Meta, r.Clear, r.Sealed)
			}
		}
	}
}

func limits(t *testing.T, h Harness) {
	s := open(t, h)
	change := func(f func(*eventstore.Record)) []eventstore.Record {
		r := Records(1)
		f(&r[0])
		return r
	}
	twice := Records(2)
	twice[1].ID = twice[0].ID
	for name, c := range map[string]struct {
		b    eventstore.Batch
		want error
	}{
		"no stream":       {batch("", eventstore.Any, Records(1)), eventstore.ErrInvalid},
		"long stream":     {batch(eventstore.Stream(strings.Repeat("x", eventstore.MaxStreamName+1)), eventstore.Any, Records(1)), eventstore.ErrInvalid},
		"no records":      {batch(stream1, eventstore.Any, nil), eventstore.ErrInvalid},
		"many records":    {batch(stream1, eventstore.Any, Records(eventstore.MaxBatch+1)), eventstore.ErrTooLarge},
		"unknown belief":  {batch(stream1, -3, Records(1)), eventstore.ErrInvalid},
		"unknown belief2": {batch(stream1, -5, Records(1)), eventstore.ErrInvalid},
		"no id":           {batch(stream1, eventstore.Any, change(func(r *eventstore.Record) { r.ID = uuid.Nil })), eventstore.ErrInvalid},
		"one id twice":    {batch(stream1, eventstore.Any, twice), eventstore.ErrInvalid},
		"no type":         {batch(stream1, eventstore.Any, change(func(r *eventstore.Record) { r.Type = "" })), eventstore.ErrInvalid},
		"no time":         {batch(stream1, eventstore.Any, change(func(r *eventstore.Record) { r.Time = time.Time{} })), eventstore.ErrInvalid},
		"nanoseconds":     {batch(stream1, eventstore.Any, change(func(r *eventstore.Record) { r.Time = r.Time.Add(1) })), eventstore.ErrInvalid},
		"large record": {batch(stream1, eventstore.Any, change(func(r *eventstore.Record) {
			r.Meta, r.Clear, r.Sealed = make([]byte, 1), nil, make([]byte, eventstore.MaxEvent)
		})), eventstore.ErrTooLarge},
	} {
		if done, err := s.Append(t.Context(), c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", name, done, err, c.want)
		}
	}
	if n := len(mustBeWhole(t, s)); n != 0 {
		t.Fatalf("%d records were written", n)
	}
	largest := change(func(r *eventstore.Record) {
		r.Meta, r.Clear, r.Sealed = nil, []byte{1}, bytes.Repeat([]byte{7}, eventstore.MaxEvent-1)
	})
	mustAppend(t, s, stream1, eventstore.NoStream, largest)
	most := Records(eventstore.MaxBatch)
	mustAppend(t, s, stream1, eventstore.Exact(0), most)
	mustBe(t, readStream(t, s, stream1, 0), stream1, 0, append(largest, most...))
}

func noAliasIn(t *testing.T, h Harness) {
	s := open(t, h)
	given, kept := Records(2), Records(2)
	for i := range given {
		kept[i] = given[i]
		kept[i].Meta, kept[i].Clear, kept[i].Sealed = bytes.Clone(given[i].Meta), bytes.Clone(given[i].Clear), bytes.Clone(given[i].Sealed)
	}
	mustAppend(t, s, stream1, eventstore.NoStream, given)
	for i := range given {
		if given[i].Stream != "" || given[i].Revision != 0 || !given[i].Position.IsZero() || !Same(given[i], kept[i]) {
			t.Fatalf("the caller's record %d was changed to %+v", i, given[i])
		}
		clear(given[i].Meta)
		clear(given[i].Clear)
		clear(given[i].Sealed)
		given[i] = eventstore.Record{}
	}
	mustBe(t, readStream(t, s, stream1, 0), stream1, 0, kept)
	mustBe(t, mustBeWhole(t, s), stream1, 0, kept)
}

func endedContext(t *testing.T, h Harness) {
	s := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Append(ctx, batch(stream1, eventstore.Any, Records(1))); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want context.Canceled", err)
	}
	late, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer stop()
	if _, err := s.Append(late, batch(stream1, eventstore.Any, Records(1))); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want context.DeadlineExceeded", err)
	}
	if n := len(mustBeWhole(t, s)); n != 0 {
		t.Fatalf("%d records were written", n)
	}
}

func biggestBatches(t *testing.T, h Harness) {
	s := open(t, h)
	a, b := Records(eventstore.MaxBatch), Records(eventstore.MaxBatch)
	mustAppend(t, s, stream1, eventstore.NoStream, a)
	mustAppend(t, s, stream1, eventstore.Exact(eventstore.Revision(len(a)-1)), b)
	mustBe(t, mustBeWhole(t, s), stream1, 0, append(a, b...))
}
