package vault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/leaves"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite"
)

// rounds is a store that finds, round by round, what it was told to.
type rounds struct {
	plan  []func(report func(*eventstore.Corrupt)) error
	times []time.Time
}

func (r *rounds) Scrub(_ context.Context, perSecond int, report func(*eventstore.Corrupt)) error {
	n := len(r.times)
	r.times = append(r.times, time.Now())
	if n < len(r.plan) && perSecond > 0 {
		return r.plan[n](report)
	}
	return nil
}

// Once a day, also after a day on which the store was away; what is found is told.
func TestScrub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := &rounds{plan: []func(func(*eventstore.Corrupt)) error{
			func(func(*eventstore.Corrupt)) error { return errors.New("away") },
			func(report func(*eventstore.Corrupt)) error {
				report(&eventstore.Corrupt{Stream: "document-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44", Revision: 3, Position: eventstore.Position{Commit: 7, Prepare: 7}})
				return nil
			},
		}}
		var logs bytes.Buffer
		var damaged atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- scrub(ctx, r, slog.New(slog.NewTextHandler(&logs, nil)), &damaged) }()
		time.Sleep(scrubFirst + scrubEvery + time.Minute) // in the bubble's time
		if damaged.Load() != 1 {
			t.Errorf("%d damaged records", damaged.Load())
		}
		if said := logs.String(); !strings.Contains(said, "position 7/7") || strings.Contains(said, "0b7f9c1e") || !strings.Contains(said, "not verified") {
			t.Errorf("it said: %s", said)
		}
		time.Sleep(scrubEvery)
		if damaged.Load() != 0 {
			t.Error("what was mended is still told of")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for i, at := range r.times {
			if want := began.Add(scrubFirst + time.Duration(i)*scrubEvery); !at.Equal(want) {
				t.Errorf("round %d after %v", i, at.Sub(began))
			}
		}
		if len(r.times) != 3 {
			t.Errorf("%d rounds", len(r.times))
		}
	})
}

func TestScrubberOf(t *testing.T) {
	index := new(leaves.Index)
	if got := scrubberOf(new(sqlite.Store), nil); got == nil {
		t.Error("a store with checksums is not verified")
	}
	if got := scrubberOf(new(kurrent.Store), index); got != scrubber(index) {
		t.Errorf("a store whose leaves are numbered is verified by %T", got)
	}
	if got := scrubberOf(memory.New(), nil); got != nil {
		t.Errorf("a store that keeps nothing is verified by %T", got)
	}
}
