package storecopy_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"pgregory.net/rapid"

	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storecopy"
	"coffre/eventstore/storetest"
)

// life appends what a random life of a vault would, and returns how much it was.
func life(t *rapid.T, s eventstore.Store) (n int64) {
	lengths := map[eventstore.Stream]int{}
	for range rapid.IntRange(1, 60).Draw(t, "appends") {
		name := eventstore.Stream(fmt.Sprintf("document-%d", rapid.IntRange(0, 5).Draw(t, "stream")))
		records := storetest.Records(rapid.IntRange(1, 4).Draw(t, "records"))
		expected := eventstore.NoStream
		if lengths[name] > 0 {
			expected = eventstore.Exact(eventstore.Revision(lengths[name] - 1))
		}
		if _, err := s.Append(context.Background(), eventstore.Batch{Stream: name, Expected: expected, Records: records}); err != nil {
			t.Fatal(err)
		}
		lengths[name] += len(records)
		n += int64(len(records))
	}
	return n
}

func records(t testing.TB, s eventstore.Store) (all []eventstore.Record) {
	t.Helper()
	for r, err := range s.ReadAll(context.Background(), eventstore.Position{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

var errCut = errors.New("cut")

// A copy that is cut at any append, before or after its effect, goes on where it
// was, and ends with the same log.
func TestCopyGoesOnAfterEachCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from, to := memory.New(), memory.New()
		want := life(rt, from)
		copied := int64(0)
		for n := 1; ; n++ {
			if n > 1000 {
				rt.Fatal("a copy that gains one append each time does not end")
			}
			fault := faulty.Fault{Before: errCut}
			switch rapid.IntRange(0, 2).Draw(rt, "fault") {
			case 1:
				fault = faulty.Fault{After: errCut}
			case 2:
				fault = faulty.Fault{After: eventstore.ErrOutcomeUnknown} // settled by the copy itself
			}
			broken := faulty.New(to, faulty.At(faulty.Append, 2, fault))
			r, err := storecopy.Log(t.Context(), from, broken, nil)
			if err != nil {
				if !errors.Is(err, errCut) {
					rt.Fatal(err)
				}
				continue
			}
			copied = r.Leaves
			break
		}
		if copied != want {
			rt.Fatalf("the target holds %d leaves, want %d", copied, want)
		}
		a, b := records(t, from), records(t, to)
		for i := range a {
			if !storetest.Same(a[i], b[i]) {
				rt.Fatalf("record %d differs", i)
			}
		}
		again, err := storecopy.Log(t.Context(), from, to, nil)
		if err != nil || again.Copied != 0 || again.Leaves != want {
			rt.Fatalf("copied again: %+v, %v", again, err)
		}
	})
}

// From the laptop's store and back: the same leaves, the same digest.
func TestCopyBetweenStores(t *testing.T) {
	first, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	var want int64
	for i := range 40 {
		batch := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d", i%7)), Expected: eventstore.Any, Records: storetest.Records(1 + i%3)}
		if _, err := first.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		want += int64(len(batch.Records))
	}
	second := memory.New()
	told := int64(0)
	there, err := storecopy.Log(t.Context(), first, second, func(leaves int64) { told = max(told, leaves) })
	if err != nil || there.Leaves != want || there.Copied != want || told != want {
		t.Fatalf("%+v, %d told, %v; want %d", there, told, err, want)
	}
	third, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	back, err := storecopy.Log(t.Context(), second, third, nil)
	if err != nil || back.Digest != there.Digest || back.Leaves != want {
		t.Fatalf("%+v and %+v, %v", there, back, err)
	}
}

// A target that holds anything but a prefix is told, and left as it is.
func TestCopyRefusesAnotherLog(t *testing.T) {
	batch := func(s eventstore.Stream) eventstore.Batch {
		return eventstore.Batch{Stream: s, Expected: eventstore.NoStream, Records: storetest.Records(2)}
	}
	add := func(s eventstore.Store, b eventstore.Batch) {
		t.Helper()
		if _, err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	shared, own := batch("document-1"), batch("document-2")
	for name, c := range map[string]struct {
		from, to []eventstore.Batch
		leaf     int64
	}{
		"other from the start": {[]eventstore.Batch{shared}, []eventstore.Batch{own}, 0},
		"other further on":     {[]eventstore.Batch{shared, batch("document-3")}, []eventstore.Batch{shared, own}, 2},
		"longer":               {[]eventstore.Batch{shared}, []eventstore.Batch{shared, own}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := memory.New(), memory.New()
			for _, b := range c.from {
				add(from, b)
			}
			for _, b := range c.to {
				add(to, b)
			}
			before := len(records(t, to))
			_, err := storecopy.Log(t.Context(), from, to, nil)
			diverged, ok := errors.AsType[*storecopy.Diverged](err)
			if !ok || diverged.Leaf != c.leaf || !errors.Is(err, storecopy.ErrDiverged) {
				t.Fatalf("%v, want a divergence at leaf %d", err, c.leaf)
			}
			if len(records(t, to)) != before {
				t.Fatal("the target was written to")
			}
		})
	}
}

// What the target changed on its way is seen by the comparison.
func TestCopyComparesWhatWasStored(t *testing.T) {
	from := memory.New()
	if _, err := from.Append(t.Context(), eventstore.Batch{Stream: "document-1", Expected: eventstore.NoStream, Records: storetest.Records(3)}); err != nil {
		t.Fatal(err)
	}
	_, err := storecopy.Log(t.Context(), from, &careless{Store: memory.New()}, nil)
	if !errors.Is(err, storecopy.ErrDiverged) {
		t.Fatalf("%v, want a divergence", err)
	}
}

// careless is a store that loses a byte.
type careless struct{ eventstore.Store }

func (c *careless) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range c.Store.ReadAll(ctx, after, limit) {
			if r.Revision == 2 {
				r.Sealed = r.Sealed[1:]
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
