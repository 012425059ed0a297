package storetest

import (
	"fmt"
	"testing"

	"coffre/eventstore"
)

var repetitionCases = []testCase{
	{"repetition/every way to repeat or half-repeat a batch", repetition},
	{"repetition/an answer given twice is the same answer", repeatedAnswer},
	{"repetition/ids are known per stream", idsPerStream},
}

// repetition appends ids 0..5 and then tries every consecutive, gapped, reversed
// and half-new selection of them under every expectation. What must come out is
// worked out from the port's own words.
func repetition(t *testing.T, h Harness) {
	s := open(t, h)
	there := Records(6)
	mustAppend(t, s, stream1, eventstore.NoStream, there)
	fresh := Records(2)
	selections := [][]eventstore.Record{}
	for from := range there {
		for to := from + 1; to <= len(there); to++ {
			selections = append(selections, there[from:to])
		}
	}
	consecutive := len(selections)
	selections = append(selections,
		[]eventstore.Record{there[0], there[2]},
		[]eventstore.Record{there[1], there[0]},
		[]eventstore.Record{there[5], there[0]},
		[]eventstore.Record{there[4], there[5], fresh[0]},
		[]eventstore.Record{there[5], fresh[0]},
		[]eventstore.Record{fresh[0], there[0]},
		[]eventstore.Record{fresh[0], there[5]},
		[]eventstore.Record{there[0], fresh[0], there[1]},
	)
	expectations := []eventstore.Expected{eventstore.NoStream, eventstore.Any, eventstore.StreamExists}
	for r := range eventstore.Revision(5) { // Exact(5) is the present head: a fresh append
		expectations = append(expectations, eventstore.Exact(r))
	}
	expectations = append(expectations, eventstore.Exact(6), eventstore.Exact(7))
	for i, selection := range selections {
		for _, e := range expectations {
			t.Run(fmt.Sprintf("selection %d expecting %d", i, e), func(t *testing.T) {
				first := eventstore.Revision(-1) // where the port says the selection already is
				if i < consecutive {
					for at, r := range there {
						if r.ID == selection[0].ID {
							first = eventstore.Revision(at)
						}
					}
				}
				if e != eventstore.Any && e != eventstore.StreamExists && first != eventstore.Revision(e)+1 {
					first = -1
				}
				if first < 0 {
					mustConflict(t, s, stream1, e, selection, 5)
					return
				}
				mustRepeat(t, s, e, selection, first)
			})
		}
	}
	mustBe(t, mustBeWhole(t, s), stream1, 0, there)
}

func mustRepeat(t *testing.T, s eventstore.Store, e eventstore.Expected, records []eventstore.Record, first eventstore.Revision) {
	t.Helper()
	done, err := s.Append(t.Context(), batch(stream1, e, records))
	if err != nil {
		t.Fatalf("repeating at %d expecting %d: %v", first, e, err)
	}
	last := first + eventstore.Revision(len(records)) - 1
	want := eventstore.Appended{First: first, Last: last, Position: readStream(t, s, stream1, last)[0].Position, Repeated: true}
	if done != want {
		t.Fatalf("repeating at %d expecting %d answered %+v, want %+v", first, e, done, want)
	}
}

func repeatedAnswer(t *testing.T, h Harness) {
	s := open(t, h)
	for _, e := range []eventstore.Expected{eventstore.NoStream, eventstore.Exact(1), eventstore.Any, eventstore.StreamExists} {
		records := Records(2)
		first := mustAppend(t, s, stream1, e, records)
		mustAppend(t, s, stream2, eventstore.Any, Records(1))
		again, err := s.Append(t.Context(), batch(stream1, e, records))
		first.Repeated = true
		if err != nil || again != first {
			t.Fatalf("expecting %d: first %+v, then %+v, %v", e, first, again, err)
		}
	}
	if n := len(mustBeWhole(t, s)); n != 12 {
		t.Fatalf("%d records, want 12", n)
	}
}

func idsPerStream(t *testing.T, h Harness) {
	s := open(t, h)
	records := Records(2)
	mustAppend(t, s, stream1, eventstore.Any, records)
	mustAppend(t, s, stream2, eventstore.Any, records)
	mustBe(t, readStream(t, s, stream2, 0), stream2, 0, records)
	if n := len(mustBeWhole(t, s)); n != 4 {
		t.Fatalf("%d records, want 4", n)
	}
}
