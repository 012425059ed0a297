package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"coffre/domain"
	"coffre/eventstore/codec"
)

func TestBenchmarksPayloadIsWhatTheTargetsSay(t *testing.T) {
	_, _, personal, err := codec.Catalog.Encode(issued(domain.DocumentID{}, domain.CitizenID{}, content(), 7))
	if err != nil || len(personal) != payload {
		t.Errorf("%d bytes, %v", len(personal), err)
	}
	seen := map[domain.SSIN]bool{}
	for n := range 100_000 {
		seen[SSIN(n)] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("%d different people of 100,000", len(seen))
	}
}

func TestVerdict(t *testing.T) {
	for want, m := range map[string]Measure{
		"reached":     {Value: 1, Baseline: "b", Ratio: 0.65, Target: ">= 0.65"},
		"not reached": {Value: 1, Baseline: "b", Ratio: 0.649, Target: ">= 0.65"},
	} {
		if got := verdict(m); got != want {
			t.Errorf("%+v: %s", m, got)
		}
	}
	if verdict(Measure{Value: 1.7, Target: "<= 1.6"}) != "not reached" || verdict(Measure{Value: 1.5, Target: "<= 1.6"}) != "reached" {
		t.Error("a value without a baseline is judged itself")
	}
	if median([]float64{9, 1, 4}) != 4 || median([]float64{1, 9, 3, 5}) != 4 {
		t.Error("median")
	}
}

func TestLoadEndsAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := load(t.Context(), 8, time.Hour, func(context.Context, int) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	n := make(chan int, 100)
	if _, err := times(t.Context(), 8, 20, func(_ context.Context, caller int) error { n <- caller; return nil }); err != nil || len(n) != 20 {
		t.Error(len(n), err)
	}
}

// Of two programs the medians of all turns are compared, and only figures that both have.
func TestVersusComparesWhatBothProgramsMeasured(t *testing.T) {
	turn := func(old, now float64) [2]map[string]Measure {
		return [2]map[string]Measure{
			{"T1": {Name: "T1", Value: old, Unit: "1/s", ProcessorMicros: 40}},
			{"T1": {Name: "T1", Value: now, Unit: "1/s", ProcessorMicros: 20}, "T99": {Name: "T99", Value: 1}},
		}
	}
	turns := [][2]map[string]Measure{turn(10, 20), turn(100, 300), turn(10, 10)}
	m, both := versus("T1", turns)
	if !both || m.Value != 20 || m.BaselineValue != 10 || m.Ratio != 2 || m.ProcessorMicros != 20 || m.BaselineProcessorMicros != 40 || m.Unit != "1/s" {
		t.Errorf("%+v", m)
	}
	if _, both := versus("T99", turns); both {
		t.Error("a figure that one of the programs does not have was compared")
	}
}

// Processor time is told for each operation, of both sides.
func TestCompareTellsProcessorTimePerOperation(t *testing.T) {
	busy := func(ctx context.Context) (pace, error) {
		return times(ctx, 1, 10, func(context.Context, int) error {
			for until := processorTime() + 2*time.Millisecond; processorTime() < until; {
			}
			return nil
		})
	}
	got, err := (&bench{Options: Options{Rounds: 1}}).compare(t.Context(), "x", busy, busy)
	if err != nil || got.subjectProcessor < 2000 || got.baselineProcessor < 2000 {
		t.Errorf("%+v, %v", got, err)
	}
}
