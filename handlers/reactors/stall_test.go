package reactors

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/memory"
)

// sick is a store with the illnesses that a watchdog is for.
type sick struct {
	eventstore.Store
	deaf    atomic.Bool   // Wait never hears of new records
	mute    atomic.Bool   // ReadAll hangs until its context ends
	jumpy   atomic.Bool   // Wait returns at once though there is nothing
	damaged atomic.Uint64 // the record with this number is corrupt
	reads   atomic.Int64
}

func (s *sick) Wait(ctx context.Context, after eventstore.Position) error {
	switch {
	case s.deaf.Load():
		<-ctx.Done()
		return ctx.Err()
	case s.jumpy.Load():
		return nil
	}
	return s.Store.Wait(ctx, after)
}

func (s *sick) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		s.reads.Add(1)
		if s.mute.Load() {
			<-ctx.Done()
			yield(eventstore.Record{}, ctx.Err())
			return
		}
		for r, err := range s.Store.ReadAll(ctx, after, limit) {
			if err == nil && r.Position.Commit == s.damaged.Load() {
				yield(eventstore.Record{}, &eventstore.Corrupt{Stream: r.Stream, Revision: r.Revision, Position: r.Position})
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestR12_a_store_that_never_wakes_us_is_read_anyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sick{Store: memory.New()}
		store.deaf.Store(true)
		k := newKitOver(t, store)
		s := k.subscriber("g")
		in := subscribe(t, s, "document")
		synctest.Wait() // it waits for more
		id := k.add("document-1", "document.issued/1")
		began := time.Now()
		if got := take(t, in, 1); got[0] != id {
			t.Errorf("got %v", got)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("noticed after %v, want 10 s at most", took)
		}
		if p := s.Progress(); len(p) != 1 || p[0].Stalls != 1 {
			t.Errorf("progress %+v, want one stall", p)
		}
	})
}

func TestR12_a_read_that_hangs_is_given_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sick{Store: memory.New()}
		k := newKitOver(t, store)
		ids := k.addMany(2, "document-1", "document.issued/1")
		s := k.subscriber("g")
		store.mute.Store(true)
		in := subscribe(t, s, "document")
		time.AfterFunc(20*time.Second, func() { store.mute.Store(false) })
		began := time.Now()
		if got := take(t, in, 2); !slices.Equal(got, ids) {
			t.Errorf("got %v, want %v", got, ids)
		}
		if took := time.Since(began); took > 32*time.Second {
			t.Errorf("resubscribed after %v", took)
		}
		if p := s.Progress(); p[0].Stalls != 1 {
			t.Errorf("progress %+v, want one stall", p)
		}
	})
}

func TestAStoreThatWakesForNothingIsNotReadInAHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sick{Store: memory.New()}
		store.jumpy.Store(true)
		k := newKitOver(t, store)
		subscribe(t, k.subscriber("g"), "document")
		time.Sleep(10 * time.Minute) // virtual
		if n := store.reads.Load(); n > 10*60*3 {
			t.Errorf("%d reads in ten minutes", n)
		}
	})
}

func TestADamagedRecordIsSetAsideAndPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sick{Store: memory.New()}
		store.damaged.Store(2)
		k := newKitOver(t, store)
		ids := k.addMany(3, "document-1", "document.issued/1")
		s := k.subscriber("g")
		if got := take(t, subscribe(t, s, "document"), 2); got[0] != ids[0] || got[1] != ids[2] {
			t.Errorf("got %v, want the first and the third", got)
		}
		aside, err := k.db.Poisoned(t.Context(), "g", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(aside) != 1 || aside[0].Leaf != 1 || aside[0].Reason != "corrupt" {
			t.Errorf("set aside: %+v", aside)
		}
	})
}
