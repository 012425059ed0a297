package ends

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

// vault stands for what cmd plugs in: a set of open things, and what ended them.
type vault struct {
	mu       sync.Mutex
	consents map[domain.ConsentID]domain.CitizenID
	mandates map[domain.MandateID]domain.CitizenID
	ended    map[uuid.UUID]Cause
	calls    int
	fail     func(what string) error // before each call
	hidden   bool                    // the read models are behind
}

func newVault() *vault {
	return &vault{
		consents: map[domain.ConsentID]domain.CitizenID{}, mandates: map[domain.MandateID]domain.CitizenID{},
		ended: map[uuid.UUID]Cause{}, fail: func(string) error { return nil },
	}
}

// end is idempotent by the event's id, as an append is.
func (v *vault) end(what uuid.UUID, c Cause) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	if err := v.fail("end"); err != nil {
		return err
	}
	if was, ended := v.ended[what]; ended && was != c {
		return fmt.Errorf("ended by %v and again by %v", was, c)
	}
	v.ended[what] = c
	return nil
}

func (v *vault) ends() Ends {
	return Ends{
		WaitForLeaf: func(context.Context, int64) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.hidden {
				return context.DeadlineExceeded
			}
			return nil
		},
		OpenConsents: func(_ context.Context, c domain.CitizenID) (open []domain.ConsentID, err error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			for id, of := range v.consents {
				if of == c {
					open = append(open, id)
				}
			}
			return open, v.fail("consents")
		},
		Mandates: func(_ context.Context, c domain.CitizenID) (open []domain.MandateID, err error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			for id, of := range v.mandates {
				if of == c {
					open = append(open, id)
				}
			}
			return open, v.fail("mandates")
		},
		Withdraw:   func(_ context.Context, id domain.ConsentID, c Cause) error { return v.end(id.UUID, c) },
		EndMandate: func(_ context.Context, id domain.MandateID, c Cause) error { return v.end(id.UUID, c) },
	}
}

func (v *vault) snapshot() map[uuid.UUID]Cause {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.ended)
}

func (v *vault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

// populate gives the citizen two consents and a mandate, and somebody else as much.
func (v *vault) populate(c domain.CitizenID) (expected int) {
	other := domain.CitizenID{UUID: uuid.New()}
	for _, of := range []domain.CitizenID{c, other} {
		v.consents[domain.ConsentID{UUID: uuid.New()}] = of
		v.consents[domain.ConsentID{UUID: uuid.New()}] = of
		v.mandates[domain.MandateID{UUID: uuid.New()}] = of
	}
	return 3
}

type noKeys struct{}

func (noKeys) Seal(context.Context, domain.CitizenID, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

func (noKeys) Open(context.Context, []byte, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

// report appends the death to a log.
func report(t *testing.T, store eventstore.Store, c domain.CitizenID) (event, correlation uuid.UUID) {
	t.Helper()
	typ, clear, _, err := codec.Catalog.Encode(citizen.Deceased{Citizen: c, At: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	event, correlation = uuid.New(), uuid.New()
	_, err = store.Append(t.Context(), eventstore.Batch{
		Stream: eventstore.Stream("citizen-" + c.String()), Expected: eventstore.Any,
		Records: []eventstore.Record{{
			ID: event, Type: typ, Time: time.Now().UTC().Truncate(time.Microsecond),
			Meta: fmt.Appendf(nil, `{"schemaVersion":1,"correlation":%q}`, correlation), Clear: clear, Sealed: []byte("sealed date"),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return event, correlation
}

// run runs the reactor over the log until the test ends.
func run(t *testing.T, store eventstore.Store, e Ends) (*reactors.DB, *reactors.Router) {
	t.Helper()
	db, err := reactors.Open(t.Context(), filepath.Join(t.TempDir(), "reactors.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := eventstore.NewLog(eventstore.Options{Store: store, Codec: codec.Catalog, Sealer: noKeys{}})
	router, err := reactors.NewRouter(reactors.RouterOptions{DB: db, Log: log, Reactors: []reactors.Reactor{e.Reactor()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, db.Close()); err != nil {
			t.Error(err)
		}
	})
	<-router.Running()
	return db, router
}

func TestM1_a_death_ends_consents_and_mandates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, v, who := memory.New(), newVault(), domain.CitizenID{UUID: uuid.New()}
		want := v.populate(who)
		event, correlation := report(t, store, who)
		run(t, store, v.ends())
		synctest.Wait()
		ended := v.snapshot()
		if len(ended) != want {
			t.Fatalf("%d ended, want %d", len(ended), want)
		}
		ids := map[uuid.UUID]bool{}
		for what, c := range ended {
			if v.consents[domain.ConsentID{UUID: what}] != who && v.mandates[domain.MandateID{UUID: what}] != who {
				t.Error("something of another citizen ended")
			}
			if c.Event != event || c.Correlation != correlation {
				t.Errorf("cause %+v, want event %v and correlation %v", c, event, correlation)
			}
			ids[c.ID] = true
		}
		if len(ids) != want {
			t.Error("two ends share an event id")
		}
	})
}

func TestFailuresAreMadeUpForWithTheSameIDs(t *testing.T) {
	for name, fault := range map[string]error{"a store that is away": eventstore.ErrUnavailable, "a passing fault": errors.New("a passing fault")} {
		for broken := range 5 { // the call that fails: two lists and three ends
			t.Run(fmt.Sprintf("%s, call %d", name, broken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, v, who := memory.New(), newVault(), domain.CitizenID{UUID: uuid.New()}
					want := v.populate(who)
					calls := 0
					v.fail = func(string) error {
						calls++
						if calls == broken+1 {
							return fault
						}
						return nil
					}
					report(t, store, who)
					db, _ := run(t, store, v.ends())
					time.Sleep(time.Minute) // virtual
					if n := len(v.snapshot()); n != want {
						t.Errorf("%d ended, want %d", n, want)
					}
					if aside, err := db.Poisoned(t.Context(), "", 10); err != nil || len(aside) != 0 {
						t.Errorf("set aside %+v (%v)", aside, err)
					}
				})
			})
		}
	}
}

func TestOneThatCannotEndKeepsNoOtherOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, v, who := memory.New(), newVault(), domain.CitizenID{UUID: uuid.New()}
		want := v.populate(who)
		e := v.ends()
		e.Withdraw = func(_ context.Context, id domain.ConsentID, c Cause) error { return errors.New("never") }
		report(t, store, who)
		db, router := run(t, store, e)
		time.Sleep(time.Minute) // virtual
		if n := len(v.snapshot()); n != want-2 {
			t.Errorf("%d ended, want the mandate", n)
		}
		aside, err := db.Poisoned(t.Context(), "ends", 10)
		if err != nil || len(aside) != 1 || aside[0].Reason != "fault" {
			t.Fatalf("set aside %+v (%v), want the death", aside, err)
		}
		if err := router.Replay(t.Context(), "ends", aside[0].Leaf); err == nil {
			t.Error("the replay of what cannot be done succeeded")
		}
	})
}

func TestLateReadModelsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, v, who := memory.New(), newVault(), domain.CitizenID{UUID: uuid.New()}
		v.hidden = true
		report(t, store, who)
		db, _ := run(t, store, v.ends())
		time.Sleep(time.Hour) // virtual
		if len(v.snapshot()) != 0 {
			t.Error("acted on lists that were behind")
		}
		var want int
		v.set(func() { want = v.populate(who); v.hidden = false })
		time.Sleep(time.Minute)
		if n := len(v.snapshot()); n != want {
			t.Errorf("%d ended, want %d", n, want)
		}
		if aside, err := db.Poisoned(t.Context(), "", 10); err != nil || len(aside) != 0 {
			t.Errorf("set aside %+v (%v)", aside, err)
		}
	})
}

func TestARepetitionUsesTheSameIDs(t *testing.T) {
	v, who := newVault(), domain.CitizenID{UUID: uuid.New()}
	v.populate(who)
	n := reactors.Notice{
		ID: uuid.New(), Type: "citizen.deceased/1", Stream: eventstore.Stream("citizen-" + who.String()),
		Clear: fmt.Appendf(nil, `{"citizen":%q,"at":"2026-11-22T10:00:00Z"}`, who),
	}
	for range 3 {
		if _, err := v.ends().handle(t.Context(), n); err != nil { // end refuses another cause
			t.Fatal(err)
		}
	}
	if v.calls != 9 || len(v.ended) != 3 {
		t.Errorf("%d calls, %d ended", v.calls, len(v.ended))
	}
	n.Stream = "citizen-" + eventstore.Stream(uuid.NewString())
	if _, err := v.ends().handle(t.Context(), n); !errors.Is(err, reactors.ErrNotANotice) {
		t.Errorf("a death in another's stream: %v", err)
	}
}

func FuzzHandle(f *testing.F) {
	f.Add("citizen.deceased/1", "citizen-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44", []byte(`{"citizen":"0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44","at":"2026-11-22T10:00:00Z"}`))
	f.Add("citizen.deceased/2", "citizen-", []byte(`{}`))
	f.Add("citizen.registered/1", "citizen-00000000-0000-0000-0000-000000000000", []byte(`{"citizen":null}`))
	f.Fuzz(func(t *testing.T, typ, stream string, clear []byte) {
		asked := domain.CitizenID{}
		v := newVault()
		e := v.ends()
		e.Mandates = func(_ context.Context, c domain.CitizenID) ([]domain.MandateID, error) { asked = c; return nil, nil }
		_, err := e.handle(t.Context(), reactors.Notice{ID: uuid.New(), Type: typ, Stream: eventstore.Stream(stream), Clear: clear})
		if err == nil && (asked.IsZero() || stream != "citizen-"+asked.String()) {
			t.Fatalf("acted on %s for a record of %s", asked, stream)
		}
	})
}
