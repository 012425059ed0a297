package reactors

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
)

// addAbout appends one record to a stream and returns its id. The first of a stream names the
// citizen, as documents and mandates do, and later ones do not.
func (k *kit) addAbout(citizen domain.CitizenID, stream, typ string) uuid.UUID {
	k.t.Helper()
	id := uuid.New()
	meta, err := json.Marshal(eventstore.Meta{SchemaVersion: 1})
	if err != nil {
		k.t.Fatal(err)
	}
	clear := `{}`
	if !citizen.IsZero() {
		clear = fmt.Sprintf(`{"citizen":%q}`, citizen)
	}
	r := eventstore.Record{ID: id, Type: typ, Time: time.Now().UTC().Truncate(time.Microsecond), Meta: meta, Clear: []byte(clear)}
	if _, err := k.store.Append(k.t.Context(), eventstore.Batch{Stream: eventstore.Stream(stream), Expected: eventstore.Any, Records: []eventstore.Record{r}}); err != nil {
		k.t.Fatal(err)
	}
	return id
}

func citizenNumber(n byte) domain.CitizenID { return domain.CitizenID{UUID: uuid.UUID{n}} }

// seen keeps the events that a reactor handled, by citizen, in the order in which it did.
type seen struct {
	mu sync.Mutex
	by map[domain.CitizenID][]uuid.UUID
	n  int
}

func (s *seen) add(n Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[domain.CitizenID][]uuid.UUID{}
	}
	s.by[n.Citizen] = append(s.by[n.Citizen], n.ID)
	s.n++
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// runParts runs a router over all parts until the test or stop ends it.
func (k *kit) runParts(o RouterOptions) running {
	k.t.Helper()
	o.DB, o.Log, o.Logger = k.db, k.log, silent
	r, err := NewRouter(o)
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	k.t.Cleanup(func() {
		if err := stop(); err != nil {
			k.t.Error(err)
		}
	})
	<-r.Running()
	return running{r, stop}
}

// Events of one citizen come in the order of the log, whichever topic, stream and part they
// belong to, though only the first of a document's names the citizen.
func TestEventsOfOneCitizenComeInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		const people, rounds = 20, 6
		want := map[domain.CitizenID][]uuid.UUID{}
		for round := range rounds {
			for person := range byte(people) {
				c := citizenNumber(person + 1)
				document, consent := fmt.Sprintf("document-%d", person), fmt.Sprintf("consent-%d", person)
				named := c
				if round > 0 {
					named = domain.CitizenID{}
				}
				want[c] = append(want[c],
					k.addAbout(named, document, "document.updated/1"),
					k.addAbout(named, consent, "consent.granted/1"))
			}
		}
		var got seen
		k.runParts(RouterOptions{Reactors: []Reactor{{
			Name: "all", Topics: []string{"document", "consent.granted"},
			Handle: func(ctx context.Context, n Notice) (Effect, error) {
				_ = Pause(ctx, time.Millisecond) // virtual: citizens of other parts pass
				return Effect{OnStored: func() { got.add(n) }}, nil
			},
		}}})
		time.Sleep(time.Hour) // virtual
		for c, ids := range want {
			if !slices.Equal(got.by[c], ids) {
				t.Errorf("citizen %v: %v, want %v", c, got.by[c], ids)
			}
		}
	})
}

// A citizen whose events cannot be handled now holds up their part, and nobody of another.
func TestACitizenHoldsUpNobodyOfAnotherPart(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		stuck := citizenNumber(1)
		part := -1
		for i := range partsOfAReactor {
			if (Part{i, partsOfAReactor}).has(stuck.String()) {
				part = i
			}
		}
		k.addAbout(stuck, "document-1", "document.issued/1")
		free := 0
		for n := byte(2); n < 60; n++ {
			c := citizenNumber(n)
			if !(Part{part, partsOfAReactor}).has(c.String()) {
				free++
			}
			k.addAbout(c, fmt.Sprintf("document-%d", n), "document.issued/1")
		}
		var got seen
		k.runParts(RouterOptions{Reactors: []Reactor{{
			Name: "all", Topics: []string{"document"},
			Handle: func(_ context.Context, n Notice) (Effect, error) {
				if n.Citizen == stuck {
					return Effect{}, ErrLater
				}
				return Effect{OnStored: func() { got.add(n) }}, nil
			},
		}}})
		time.Sleep(time.Minute) // virtual
		if got.count() != free || free < 30 {
			t.Errorf("%d events of other parts were handled, want %d", got.count(), free)
		}
		if aside := k.poisoned(); len(aside) != 0 {
			t.Errorf("set aside: %+v", aside)
		}
	})
}

// A reactor that followed each topic from a position of its own, or was divided into other
// parts, goes on from where everything was passed, and handles nothing twice.
func TestAReactorThatIsDividedOtherwiseGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		var ids []uuid.UUID
		for n := range byte(40) {
			ids = append(ids, k.addAbout(citizenNumber(n), fmt.Sprintf("document-%d", n), "document.issued/1"))
		}
		first := k.subscriber("all")
		take(t, subscribe(t, first, "document"), 5) // as before there were parts
		first.Close()
		var got seen
		reactor := Reactor{Name: "all", Topics: []string{"document"}, Handle: func(_ context.Context, n Notice) (Effect, error) {
			return Effect{OnStored: func() { got.add(n) }}, nil
		}}
		for _, parts := range []int{8, 3, 5} {
			r := k.runParts(RouterOptions{Reactors: []Reactor{reactor}, Parts: parts})
			time.Sleep(time.Minute) // virtual
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if got.count() != len(ids)-5 {
				t.Errorf("in %d parts: %d events handled, want %d", parts, got.count(), len(ids)-5)
			}
		}
		var rows int
		if err := k.db.Reader().Get(&rows, `SELECT count(*) FROM reactor_positions`); err != nil || rows != 5 {
			t.Errorf("%d positions are kept (%v), want those of the five parts", rows, err)
		}
	})
}

// leases gives each part to one of several routers at a time, as advisory locks do.
type leases struct {
	mu    sync.Mutex
	holds map[int]bool
}

func (l *leases) acquire(process context.Context) func(context.Context, int) (context.Context, func(), error) {
	return func(ctx context.Context, part int) (context.Context, func(), error) {
		for {
			l.mu.Lock()
			free := !l.holds[part]
			if free {
				l.holds[part] = true
			}
			l.mu.Unlock()
			if free {
				held, cancel := context.WithCancel(ctx)
				unhook := context.AfterFunc(process, cancel)
				return held, func() {
					unhook()
					cancel()
					l.mu.Lock()
					defer l.mu.Unlock()
					delete(l.holds, part)
				}, nil
			}
			if err := Pause(ctx, 500*time.Millisecond); err != nil {
				return nil, nil, err
			}
		}
	}
}

// Of several processes each part has one. When a process loses its leases others go on within a
// second, in order, and what was in hand has one effect.
func TestAnotherProcessTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		const people, rounds = 16, 10
		want := map[domain.CitizenID][]uuid.UUID{}
		for range rounds {
			for n := range byte(people) {
				c := citizenNumber(n + 1)
				want[c] = append(want[c], k.addAbout(c, fmt.Sprintf("document-%d", n), "document.updated/1"))
			}
		}
		var got seen
		working := map[string]int{}
		var mu sync.Mutex
		reactor := func(process string) Reactor {
			return Reactor{Name: "all", Topics: []string{"document"}, Handle: func(ctx context.Context, n Notice) (Effect, error) {
				mu.Lock()
				working[process]++
				mu.Unlock()
				if err := Pause(ctx, 200*time.Millisecond); err != nil { // virtual
					return Effect{}, err
				}
				return Effect{OnStored: func() { got.add(n) }}, nil
			}}
		}
		l := &leases{holds: map[int]bool{}}
		alive, die := context.WithCancel(t.Context())
		k.runParts(RouterOptions{Reactors: []Reactor{reactor("first")}, Lease: l.acquire(alive)})
		time.Sleep(time.Second)
		k.runParts(RouterOptions{Reactors: []Reactor{reactor("second")}, Lease: l.acquire(t.Context())})
		time.Sleep(time.Second)
		mu.Lock()
		if working["first"] == 0 || working["second"] != 0 {
			t.Errorf("before: %v, want the first process alone", working)
		}
		mu.Unlock()
		die()
		time.Sleep(2 * time.Second)
		mu.Lock()
		if working["second"] == 0 {
			t.Error("the second had not taken over after two seconds")
		}
		mu.Unlock()
		time.Sleep(time.Hour)
		for c, ids := range want {
			if !slices.Equal(got.by[c], ids) {
				t.Errorf("citizen %v: %v, want %v", c, got.by[c], ids)
			}
		}
		if aside := k.poisoned(); len(aside) != 0 {
			t.Errorf("set aside: %+v", aside)
		}
	})
}

func TestAKeyOfTheReactorsOwnOrdersItsEvents(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		var ids []uuid.UUID
		for n := range byte(20) {
			ids = append(ids, k.addAbout(citizenNumber(n+1), fmt.Sprintf("document-%d", n), "document.issued/1"))
		}
		var got []uuid.UUID
		var mu sync.Mutex
		k.runParts(RouterOptions{Reactors: []Reactor{{
			Name: "all", Topics: []string{"document"}, Key: func(Notice) string { return "everything" },
			Handle: func(_ context.Context, n Notice) (Effect, error) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, n.ID)
				return Effect{}, nil
			},
		}}})
		time.Sleep(time.Minute) // virtual
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, ids) {
			t.Errorf("handled %v, want %v", got, ids)
		}
	})
}

// The log is read once for all that have caught up.
func TestSubscriptionsShareWhatTheyRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sick{Store: newKit(t).store}
		k := newKitOver(t, store)
		var got seen
		reactor := func(name string) Reactor {
			return Reactor{Name: name, Topics: []string{"document"}, Handle: func(_ context.Context, n Notice) (Effect, error) {
				return Effect{OnStored: func() { got.add(n) }}, nil
			}}
		}
		k.runParts(RouterOptions{Reactors: []Reactor{reactor("a"), reactor("b"), reactor("c")}})
		time.Sleep(15 * time.Second) // virtual: all have caught up
		before := store.reads.Load()
		const events = 10
		for n := range byte(events) {
			k.addAbout(citizenNumber(n+1), fmt.Sprintf("document-%d", n), "document.issued/1")
			time.Sleep(time.Second)
		}
		if got.count() != 3*events {
			t.Fatalf("%d effects, want %d", got.count(), 3*events)
		}
		// Of each event one page and one that finds no more, for all 24 subscriptions together.
		if reads := store.reads.Load() - before; reads > 4*events {
			t.Errorf("%d events took %d readings of the log", events, reads)
		}
	})
}

func TestADamagedRecordIsSetAsideOnceForAllParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sick{Store: newKit(t).store}
		store.damaged.Store(2)
		k := newKitOver(t, store)
		for n := range byte(4) {
			k.addAbout(citizenNumber(n+1), fmt.Sprintf("document-%d", n), "document.issued/1")
		}
		var got seen
		k.runParts(RouterOptions{Reactors: []Reactor{{Name: "all", Topics: []string{"document"}, Handle: func(_ context.Context, n Notice) (Effect, error) {
			return Effect{OnStored: func() { got.add(n) }}, nil
		}}}})
		time.Sleep(time.Minute) // virtual
		if aside := k.poisoned(); len(aside) != 1 || aside[0].Leaf != 1 || aside[0].Attempts != 1 {
			t.Errorf("set aside: %+v", aside)
		}
		if got.count() != 3 {
			t.Errorf("%d events were handled, want the other three", got.count())
		}
	})
}
