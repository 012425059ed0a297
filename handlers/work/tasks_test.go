package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/disclosure"
	"coffre/projections"
)

// Tasks with the same name never run concurrently; one that is enqueued while it runs runs
// once more.
func TestTasksWithOneNameNeverRunConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &Worker{Discloser: &disclosure.Discloser{Recorder: &acting.Recorder{Slog: slog.New(slog.DiscardHandler)}}}
		end := v.performing(t)
		var running, most, ran atomic.Int64
		gate := make(chan struct{})
		run := func(context.Context) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-gate
			running.Add(-1)
			ran.Add(1)
			return nil
		}
		v.tasks.enqueue("one", run)
		synctest.Wait()
		for range 5 { // they are one
			v.tasks.enqueue("one", run)
		}
		synctest.Wait()
		if !v.tasks.busy("one") || v.tasks.busy("other") || running.Load() != 1 {
			t.Errorf("%d run", running.Load())
		}
		close(gate)
		if err := v.WaitIdle(t.Context()); err != nil || ran.Load() != 2 || most.Load() != 1 || v.tasks.busy("one") {
			t.Errorf("%d ran, %d at once, %v", ran.Load(), most.Load(), err)
		}
		end()
	})
}

// A task that fails runs again after longer and longer pauses; a refusal ends it.
func TestFailedTasksAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &Worker{Discloser: &disclosure.Discloser{Recorder: &acting.Recorder{Slog: slog.New(slog.DiscardHandler)}}}
		end := v.performing(t)
		var at []time.Duration
		began := time.Now()
		v.tasks.enqueue("faulty", func(context.Context) error {
			if at = append(at, time.Since(began)); len(at) < 4 {
				return errors.New("away")
			}
			return citizen.ErrLegalHold
		})
		if err := v.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(at) != 4 || at[1] != time.Second || at[2] != 3*time.Second || at[3] != 7*time.Second {
			t.Errorf("tried at %v", at)
		}
		v.tasks.enqueue("faulty", func(context.Context) error { return errors.New("away") })
		synctest.Wait()
		end() // the process ends in between
	})
}

// performing runs tasks, without those that a start resumes, until end is called.
func (work *Worker) performing(t *testing.T) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); work.runTasks(ctx) }()
	return func() { cancel(); <-done }
}

func TestRunningTasksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &Worker{Discloser: &disclosure.Discloser{Recorder: &acting.Recorder{Slog: slog.New(slog.DiscardHandler)}}}
		end := v.performing(t)
		gate := make(chan struct{})
		var running atomic.Int64
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			v.tasks.enqueue(name, func(context.Context) error { running.Add(1); <-gate; return nil })
		}
		synctest.Wait()
		if running.Load() != maxRunningTasks {
			t.Errorf("%d run at once", running.Load())
		}
		close(gate)
		if err := v.WaitIdle(t.Context()); err != nil || running.Load() != 7 {
			t.Errorf("%d ran, %v", running.Load(), err)
		}
		end()
	})
}

// A panic in a task becomes its error, so that it is retried like any other failure.
func TestPanicIsAnErrorOfTheTask(t *testing.T) {
	broken := task{name: "broken", run: nil}
	if err := broken.attempt(t.Context()); err == nil || errors.Is(err, t.Context().Err()) && t.Context().Err() != nil {
		t.Fatal(err)
	}
}

// That read models are being built is no fault of a task: it is tried again, and nobody is
// called for it. Anything else beside it is one.
func TestOnlyReadModelsBehindAreNoFault(t *testing.T) {
	fault := errors.New("away")
	for _, c := range []struct {
		err    error
		behind bool
	}{
		{acting.ErrModelsBehind, true},
		{fmt.Errorf("resume: %w", projections.ErrNotReady), true},
		{errors.Join(acting.ErrModelsBehind, projections.ErrNotReady), true},
		{errors.Join(acting.ErrModelsBehind, fault), false},
		{errors.Join(fault, errors.Join(acting.ErrModelsBehind)), false},
		{fault, false},
	} {
		if got := modelsBehind(c.err); got != c.behind {
			t.Errorf("%v is behind: %v", c.err, got)
		}
	}
}
