package reactors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"coffre/eventstore"
)

func TestPausedReactorsWaitAndLoseNothing(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		e := newEffects(t, k.db)
		desk := Desk{k.db}
		if err := desk.Pause(t.Context(), "effects"); !errors.Is(err, ErrNoReactor) {
			t.Errorf("before it ever ran: %v", err)
		}
		r := k.run(e.reactor())
		if err := desk.Pause(t.Context(), "effects"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // virtual
		k.addMany(5, "document-1", "document.issued/1")
		time.Sleep(time.Hour)
		if got := e.kept(t); len(got) != 0 {
			t.Errorf("%d events were handled while it was paused", len(got))
		}
		if err := r.stop(); err != nil { // a restart does not resume it
			t.Fatal(err)
		}
		k.run(e.reactor())
		time.Sleep(time.Hour)
		all, err := desk.Reactors(t.Context())
		if err != nil || len(all) != 1 || all[0].Paused.IsZero() || all[0].Name != "effects" || all[0].Parts != 1 {
			t.Fatalf("status %+v, %v", all, err)
		}
		if got := e.kept(t); len(got) != 0 {
			t.Errorf("%d events were handled after a restart", len(got))
		}
		if err := desk.Resume(t.Context(), "effects"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := e.kept(t); len(got) != 5 {
			t.Errorf("%d events were handled after it, want 5", len(got))
		}
		if all, err = desk.Reactors(t.Context()); err != nil || !all[0].Paused.IsZero() || all[0].Passed.Commit != 5 {
			t.Errorf("status %+v, %v", all, err)
		}
	})
}

func TestWhatWasSetAsideIsRetriedOrDropped(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		k.addMany(2, "document-1", "document.issued/1")
		e := newEffects(t, k.db)
		var broken atomic.Bool
		broken.Store(true)
		e.fail = func(context.Context, Notice) error {
			if broken.Load() {
				return errOwn
			}
			return nil
		}
		k.run(e.reactor())
		time.Sleep(time.Minute) // virtual
		desk := Desk{k.db}
		if aside, err := desk.Poisoned(t.Context(), "effects", 10); err != nil || len(aside) != 2 {
			t.Fatalf("%+v, %v", aside, err)
		}
		for _, act := range []func(context.Context, string, int64) error{desk.Retry, desk.Drop} {
			if err := act(t.Context(), "effects", 7); !errors.Is(err, errNotSetAside) {
				t.Errorf("of what was not set aside: %v", err)
			}
		}
		if err := desk.Retry(t.Context(), "effects", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if p, err := desk.SetAside(t.Context(), "effects", 0); err != nil || p.Attempts != 6 {
			t.Errorf("after a retry in vain: %+v, %v", p, err)
		}
		broken.Store(false)
		if err := errors.Join(desk.Retry(t.Context(), "effects", 0), desk.Drop(t.Context(), "effects", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if aside := k.poisoned(); len(aside) != 0 {
			t.Errorf("still set aside: %+v", aside)
		}
		if got := e.kept(t); len(got) != 1 {
			t.Errorf("effects %v, want that of the one retried", got)
		}
	})
}

// A fault of everything is no fault of each event: little is set aside, and everything is handled
// when the fault is gone.
func TestAFaultOfEverythingSetsLittleAside(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		const events = 5000
		for n := range events {
			k.addAbout(citizenNumber(byte(n)), fmt.Sprintf("document-%d", n), "document.issued/1")
		}
		over := time.Now().Add(time.Minute)
		var got seen
		k.runParts(RouterOptions{Reactors: []Reactor{{
			Name: "all", Topics: []string{"document"},
			Handle: func(_ context.Context, n Notice) (Effect, error) {
				if time.Now().Before(over) {
					return Effect{}, errOwn
				}
				return Effect{OnStored: func() { got.add(n) }}, nil
			},
		}}})
		time.Sleep(time.Hour) // virtual
		var aside int
		if err := k.db.Reader().Get(&aside, `SELECT count(*) FROM reactor_poison`); err != nil {
			t.Fatal(err)
		}
		// A hundred retries at once and five a second, five to an event that is set aside.
		if limit := (budgetSize + 60*budgetRefill) / maxRetries; aside > int(limit) {
			t.Errorf("%d events were set aside in a minute, want %v at most", aside, limit)
		}
		if got.count()+aside != events {
			t.Errorf("%d handled and %d set aside of %d", got.count(), aside, events)
		}
	})
}

func TestAskingOnEachDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		a, b := Desk{open()}, Desk{open()}
		part := Part{2, 8}
		at := eventstore.Position{Commit: 7, Prepare: 3}
		if got, err := a.DB.partPosition(t.Context(), "r", part, func() (eventstore.Position, error) { return at, nil }); err != nil || got != at {
			t.Fatal(got, err)
		}
		later := eventstore.Position{Commit: 9}
		if err := b.DB.swapPosition(t.Context(), "r", part.String(), at, later); err != nil {
			t.Fatal(err)
		}
		if err := a.Pause(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		p := Poison{Reactor: "r", Leaf: 3, Type: "document.issued/1", Reason: "fault", Attempts: 5}
		if err := a.DB.setAside(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		all, err := b.Reactors(t.Context())
		if err != nil || len(all) != 1 || all[0].Passed != at || all[0].Parts != 8 || all[0].Paused.IsZero() || all[0].SetAside != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		for range 2 { // twice is once
			if err := errors.Join(b.Retry(t.Context(), "r", 3), b.Resume(t.Context(), "r")); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Drop(t.Context(), "r", 3); err != nil {
			t.Fatal(err)
		}
		if all, err = a.Reactors(t.Context()); err != nil || !all[0].Paused.IsZero() || all[0].SetAside != 0 {
			t.Fatalf("%+v, %v", all, err)
		}
	})
}
