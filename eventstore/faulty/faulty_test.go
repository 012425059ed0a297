package faulty_test

import (
	"errors"
	"os"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/memory"
	"coffre/eventstore/storetest"
)

func TestQuietStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Repeats: os.Getenv("COFFRE_SOAK") != "1", // a soak does all of it here, too
		Open:    func(testing.TB) eventstore.Store { return faulty.New(memory.New(), nil) },
	})
}

var errBroken = errors.New("broken on command")

func TestFailsBeforeAndAfterItsEffect(t *testing.T) {
	for _, after := range []bool{false, true} {
		s := faulty.New(memory.New(), nil)
		fault := faulty.Fault{Before: errBroken}
		if after {
			fault = faulty.Fault{After: errBroken}
		}
		batch := func() eventstore.Batch {
			return eventstore.Batch{Stream: "consent-1", Expected: eventstore.Any, Records: storetest.Records(1)}
		}
		s.SetRule(faulty.At(faulty.Append, 2, fault))
		var failed []int
		for i := range 3 {
			if _, err := s.Append(t.Context(), batch()); errors.Is(err, errBroken) {
				failed = append(failed, i)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if len(failed) != 1 || failed[0] != 1 {
			t.Fatalf("appends %v failed, want the second", failed)
		}
		want := 2
		if after {
			want = 3
		}
		for m, read := range map[faulty.Method]func() (int, error){
			faulty.ReadAll: func() (n int, last error) {
				for _, err := range s.ReadAll(t.Context(), eventstore.Position{}, 10) {
					if last = err; err == nil {
						n++
					}
				}
				return n, last
			},
			faulty.ReadStream: func() (n int, last error) {
				for _, err := range s.ReadStream(t.Context(), "consent-1", 0) {
					if last = err; err == nil {
						n++
					}
				}
				return n, last
			},
		} {
			if n, err := read(); n != want || err != nil {
				t.Fatalf("%d records, %v, want %d", n, err, want)
			}
			s.SetRule(faulty.At(m, 1, fault))
			if n, err := read(); !errors.Is(err, errBroken) || after && n != want || !after && n != 0 {
				t.Fatalf("a broken read yields %d records, then %v", n, err)
			}
		}
		s.SetRule(faulty.At(faulty.Head, 1, fault))
		if _, err := s.Head(t.Context()); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		s.SetRule(faulty.At(faulty.Wait, 1, fault))
		if err := s.Wait(t.Context(), eventstore.Position{}); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if err := s.Wait(t.Context(), eventstore.Position{}); err != nil {
			t.Fatal(err)
		}
	}
}
