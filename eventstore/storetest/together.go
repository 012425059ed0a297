package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"coffre/eventstore"
)

var togetherCases = []testCase{
	{"together/batches of many streams lie in their order", togetherInOrder},
	{"together/a copy repeated writes nothing", togetherRepeated},
	{"together/one refusal ends it, and a store that takes them together keeps nothing", togetherRefused},
	{"together/what no store takes is refused before anything is written", togetherInvalid},
	{"together/two copies at once do not mix", togetherApart},
}

// togetherBatches returns batches of some streams in turns, each of which goes on where
// the one before left its stream, and all records in that order.
func togetherBatches(name string, streams, n int) (batches []eventstore.Batch, all []eventstore.Record) {
	next := map[eventstore.Stream]eventstore.Revision{}
	for i := range n {
		b := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("document-%s-%d", name, i%streams)), Expected: eventstore.NoStream, Records: Records(1 + i%3)}
		if at := next[b.Stream]; at > 0 {
			b.Expected = eventstore.Exact(at - 1)
		}
		for j, r := range b.Records {
			r.Stream, r.Revision = b.Stream, next[b.Stream]+eventstore.Revision(j)
			all = append(all, r)
		}
		next[b.Stream] += eventstore.Revision(len(b.Records))
		batches = append(batches, b)
	}
	return batches, all
}

func mustBeInOrder(t *testing.T, s eventstore.Store, want []eventstore.Record) {
	t.Helper()
	got := mustBeWhole(t, s)
	if len(got) != len(want) {
		t.Fatalf("the log has %d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !Same(got[i], want[i]) {
			t.Fatalf("record %d of the log is %s %d, want %s %d", i, got[i].Stream, got[i].Revision, want[i].Stream, want[i].Revision)
		}
	}
}

func togetherInOrder(t *testing.T, h Harness) {
	s := open(t, h)
	batches, all := togetherBatches("a", 7, 40)
	if err := eventstore.AppendTogether(t.Context(), s, batches[:25]); err != nil {
		t.Fatal(err)
	}
	if err := eventstore.AppendTogether(t.Context(), s, batches[25:]); err != nil {
		t.Fatal(err)
	}
	if err := eventstore.AppendTogether(t.Context(), s, nil); err != nil {
		t.Fatalf("nothing appended together: %v", err)
	}
	mustBeInOrder(t, s, all)
	mustAppend(t, s, batches[0].Stream, eventstore.Any, Records(1)) // the heads are known
}

func togetherRepeated(t *testing.T, h Harness) {
	s := open(t, h)
	batches, all := togetherBatches("a", 3, 12)
	for range 2 {
		if err := eventstore.AppendTogether(t.Context(), s, batches); err != nil {
			t.Fatal(err)
		}
	}
	mustBeInOrder(t, s, all)
}

func togetherRefused(t *testing.T, h Harness) {
	s := open(t, h)
	before := Records(2)
	mustAppend(t, s, stream1, eventstore.NoStream, before)
	batches, all := togetherBatches("a", 3, 9)
	const refused = 5
	wrong := batch(stream1, eventstore.Exact(7), Records(1))
	batches = append(batches[:refused:refused], append([]eventstore.Batch{wrong}, batches[refused:]...)...)
	err := eventstore.AppendTogether(t.Context(), s, batches)
	if w, ok := errors.AsType[*eventstore.WrongRevision](err); !ok || w.Stream != stream1 || w.Actual != 1 {
		t.Fatalf("got %v, want a *WrongRevision of the sixth batch", err)
	}
	for i := range before {
		before[i].Stream, before[i].Revision = stream1, eventstore.Revision(i)
	}
	if _, whole := s.(eventstore.Together); whole {
		mustBeInOrder(t, s, before)
	} else {
		written := 0
		for _, b := range batches[:refused] {
			written += len(b.Records)
		}
		mustBeInOrder(t, s, append(before, all[:written]...))
	}
	// Whatever was refused, the rest can be appended: nothing of it is remembered.
	batches = append(batches[:refused:refused], batches[refused+1:]...)
	if err := eventstore.AppendTogether(t.Context(), s, batches); err != nil {
		t.Fatal(err)
	}
	mustBeInOrder(t, s, append(before, all...))
}

func togetherInvalid(t *testing.T, h Harness) {
	s := open(t, h)
	batches, _ := togetherBatches("a", 3, eventstore.MaxTogether+1)
	if err := eventstore.AppendTogether(t.Context(), s, batches); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Fatalf("too many batches: %v", err)
	}
	if t2, whole := s.(eventstore.Together); whole {
		if err := t2.AppendTogether(t.Context(), batches); !errors.Is(err, eventstore.ErrTooLarge) {
			t.Fatalf("too many batches: %v", err)
		}
		if err := t2.AppendTogether(t.Context(), []eventstore.Batch{batches[0], {Stream: stream1}}); !errors.Is(err, eventstore.ErrInvalid) {
			t.Fatalf("a batch without records: %v", err)
		}
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	if err := eventstore.AppendTogether(over, s, batches[:3]); !errors.Is(err, context.Canceled) {
		t.Fatalf("appended for nobody: %v", err)
	}
	mustBeInOrder(t, s, nil)
}

// togetherApart lets four write at once. Each finds its own records next to each other
// where the store takes them together; each finds them in order anywhere.
func togetherApart(t *testing.T, h Harness) {
	s := open(t, h)
	const writers = 4
	rounds := h.scaled(8)
	done := make(chan error, writers)
	belongs := map[string]int{} // ids to rounds
	for w := range writers {
		var work [][]eventstore.Batch
		for round := range rounds {
			batches, all := togetherBatches(fmt.Sprintf("w%d-%d", w, round), 3, 6)
			for _, r := range all {
				belongs[r.ID.String()] = w*rounds + round
			}
			work = append(work, batches)
		}
		go func() {
			var errs []error
			for _, batches := range work {
				errs = append(errs, eventstore.AppendTogether(t.Context(), s, batches))
			}
			done <- errors.Join(errs...)
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	_, whole := s.(eventstore.Together)
	ended, current := map[int]bool{}, -1
	for _, r := range mustBeWhole(t, s) {
		round := belongs[r.ID.String()]
		if round == current {
			continue
		}
		if whole && ended[round] {
			t.Fatal("records of one call lie among those of another")
		}
		ended[current], current = true, round
	}
}
