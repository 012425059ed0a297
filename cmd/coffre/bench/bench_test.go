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
