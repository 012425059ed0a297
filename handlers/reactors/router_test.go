package reactors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/eventstore"
)

// effects is a reactor that stores each event's id as its effect.
type effects struct {
	db     *DB
	fail   func(ctx context.Context, n Notice) error // before the effect; may be nil
	mu     sync.Mutex
	tried  map[uuid.UUID]int
	order  []uuid.UUID
	stored chan uuid.UUID
}

func newEffects(t testing.TB, db *DB) *effects {
	t.Helper()
	if err := db.Ensure(t.Context(), `CREATE TABLE IF NOT EXISTS effects (event TEXT NOT NULL) STRICT`); err != nil {
		t.Fatal(err)
	}
	return &effects{db: db, tried: map[uuid.UUID]int{}, stored: make(chan uuid.UUID, 10_000)}
}

func (e *effects) reactor() Reactor {
	return Reactor{Name: "effects", Topics: []string{"document"}, Handle: e.handle}
}

func (e *effects) handle(ctx context.Context, n Notice) (Effect, error) {
	e.mu.Lock()
	e.tried[n.ID]++
	e.order = append(e.order, n.ID)
	e.mu.Unlock()
	if e.fail != nil {
		if err := e.fail(ctx, n); err != nil {
			return Effect{}, err
		}
	}
	return Effect{
		Store: func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO effects (event) VALUES (?)`, n.ID.String())
			return err
		},
		OnStored: func() { e.stored <- n.ID },
	}, nil
}

func (e *effects) tries(id uuid.UUID) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tried[id]
}

// kept returns the effects in the order they were stored.
func (e *effects) kept(t testing.TB) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	if err := e.db.Reader().Select(&ids, `SELECT event FROM effects ORDER BY rowid`); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (k *kit) poisoned() []Poison {
	k.t.Helper()
	all, err := k.db.Poisoned(context.Background(), "", 100)
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

// running is a router that runs until stop.
type running struct {
	*Router
	stop func() error
}

func (k *kit) run(reactors ...Reactor) running {
	k.t.Helper()
	return k.runParts(RouterOptions{Reactors: reactors, Parts: 1})
}

func bubble(t *testing.T, test func(t *testing.T, k *kit)) {
	synctest.Test(t, func(t *testing.T) { test(t, newKit(t)) })
}

var errOwn = errors.New("its own failure")

// ecosystem trap: Watermill's poison queue takes what a shutdown cut short.
func TestR10_a_shutdown_in_the_middle_of_a_handler_sets_nothing_aside(t *testing.T) {
	for name, result := range map[string]func(ctx context.Context) error{
		"context's error":         func(ctx context.Context) error { return ctx.Err() },
		"wrapped":                 func(ctx context.Context) error { return fmt.Errorf("call: %w", ctx.Err()) },
		"error that hides why":    func(ctx context.Context) error { return errOwn },
		"deadline of a callee":    func(ctx context.Context) error { return context.DeadlineExceeded },
		"panic":                   func(ctx context.Context) error { panic("cut short") },
		"refusal":                 func(ctx context.Context) error { return domain.NewError(domain.Conflict, "x", "y") },
		"success after the close": func(ctx context.Context) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				ids := k.addMany(2, "document-1", "document.issued/1")
				e := newEffects(t, k.db)
				inHand := make(chan struct{}, 1)
				e.fail = func(ctx context.Context, _ Notice) error {
					inHand <- struct{}{}
					<-ctx.Done()
					return result(ctx)
				}
				r := k.run(e.reactor())
				<-inHand
				began := time.Now()
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took >= 30*time.Second {
					t.Errorf("closing took %v", took)
				}
				if aside := k.poisoned(); len(aside) != 0 {
					t.Fatalf("set aside by the shutdown: %+v", aside)
				}
				e.fail = nil
				k.run(e.reactor())
				for len(e.kept(t)) < 2 {
					<-e.stored
				}
				if got := e.kept(t); !slices.Equal(got, ids) {
					t.Errorf("effects %v, want %v", got, ids)
				}
			})
		})
	}
}

// After the last try Watermill's retry hands on the handler's own error, whatever
// cut it short.
func TestR10_a_shutdown_in_the_middle_of_the_last_try_sets_nothing_aside(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		id := k.add("document-1", "document.issued/1")
		e := newEffects(t, k.db)
		inHand := make(chan struct{})
		e.fail = func(ctx context.Context, _ Notice) error {
			if e.tries(id) > maxRetries {
				close(inHand)
				<-ctx.Done()
			}
			return errOwn
		}
		r := k.run(e.reactor())
		<-inHand
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if aside := k.poisoned(); len(aside) != 0 {
			t.Fatalf("set aside by the shutdown: %+v", aside)
		}
	})
}

func TestR10_a_bad_event_is_set_aside_and_later_ones_go_on(t *testing.T) {
	secret := "79021510045"
	for reason, fail := range map[string]func(context.Context) error{
		"fault":                 func(context.Context) error { return errors.New(secret) },
		"panic":                 func(context.Context) error { panic(secret) },
		"refused:documentFinal": func(context.Context) error { return domain.NewError(domain.Conflict, "documentFinal", "it is final") },
		"timeout":               func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"erased":                func(context.Context) error { return eventstore.ErrErased },
		"unreadable":            func(context.Context) error { return ErrNotANotice },
	} {
		t.Run(reason, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				var logged bytes.Buffer
				e := newEffects(t, k.db)
				before, after := 3, 3
				if reason == "fault" { // one bad event in a thousand
					before, after = 500, 499
				}
				good := k.addMany(before, "document-1", "document.issued/1")
				bad := k.add("document-2", "document.issued/1")
				good = append(good, k.addMany(after, "document-3", "document.issued/1")...)
				e.fail = func(ctx context.Context, n Notice) error {
					if n.ID == bad {
						return fail(ctx)
					}
					return nil
				}
				r, err := NewRouter(RouterOptions{DB: k.db, Log: k.log, Reactors: []Reactor{e.reactor()}, Parts: 1, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				began := time.Now()
				go func() { ended <- r.Run(ctx) }()
				for range good {
					<-e.stored
				}
				took := time.Since(began) // virtual: the pauses between tries and nothing else
				cancel()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if limit := time.Minute; took > limit || reason != "timeout" && took > time.Second {
					t.Errorf("the others waited %v", took)
				}
				if got := e.kept(t); !slices.Equal(got, good) {
					t.Errorf("%d effects, want those of the %d good events in order", len(got), len(good))
				}
				want := Poison{Reactor: "effects", Leaf: int64(before), Event: bad, Type: "document.issued/1", Reason: reason, Attempts: 5}
				aside := k.poisoned()
				if len(aside) != 1 {
					t.Fatalf("set aside: %+v", aside)
				}
				want.At = aside[0].At
				if aside[0] != want {
					t.Errorf("set aside %+v, want %+v", aside[0], want)
				}
				if strings.Contains(logged.String(), secret) {
					t.Errorf("the log quotes an error: %s", logged.String())
				}
				if !strings.Contains(logged.String(), "event set aside") {
					t.Error("nothing was logged")
				}
			})
		})
	}
}

func TestAnEventIsNotToBlameForWhatIsAway(t *testing.T) {
	for _, awayErr := range []error{
		eventstore.ErrUnavailable, eventstore.ErrKeysUnavailable, ErrLater,
		domain.NewError(domain.Unavailable, "keysUnavailable", "later"), context.Canceled,
	} {
		bubble(t, func(t *testing.T, k *kit) {
			ids := k.addMany(3, "document-1", "document.issued/1")
			e := newEffects(t, k.db)
			over := time.Now().Add(3 * time.Hour)
			e.fail = func(context.Context, Notice) error {
				if time.Now().Before(over) {
					return fmt.Errorf("store: %w", awayErr)
				}
				return nil
			}
			k.run(e.reactor())
			for range ids {
				<-e.stored
			}
			if late := time.Since(over); late > 30*time.Second {
				t.Errorf("%v: took it up %v after the end", awayErr, late)
			}
			if got := e.kept(t); !slices.Equal(got, ids) || len(k.poisoned()) != 0 {
				t.Errorf("%v: effects %v, set aside %+v", awayErr, got, k.poisoned())
			}
			if n := e.tries(ids[0]); n > 3*60*60/15+20 {
				t.Errorf("%v: tried %d times in three hours", awayErr, n)
			}
		})
	}
}

func TestR10_repetitions_in_any_order_have_one_effect(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		ids := k.addMany(50, "document-1", "document.issued/1")
		e := newEffects(t, k.db)
		var notices []Notice
		for r, err := range k.store.ReadAll(t.Context(), eventstore.Position{}, 100) {
			if err != nil {
				t.Fatal(err)
			}
			n, err := numbered(t.Context(), k.log, unnumbered(r, domain.CitizenID{}), r.Position)
			if err != nil {
				t.Fatal(err)
			}
			notices = append(notices, n, n, n)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		rng.Shuffle(len(notices), func(i, j int) { notices[i], notices[j] = notices[j], notices[i] })
		var all sync.WaitGroup
		for _, n := range notices {
			all.Go(func() {
				if err := k.db.handleOnce(t.Context(), e.reactor(), n); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// An operator sets the position back, too.
		r := k.run(e.reactor())
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := k.db.sql.Writer.Exec(`UPDATE reactor_positions SET log_commit = 0, log_prepare = 0`); err != nil {
			t.Fatal(err)
		}
		k.run(e.reactor())
		last := k.add("document-1", "document.updated/1")
		for id := range e.stored {
			if id == last {
				break
			}
		}
		got := e.kept(t)
		if len(got) != len(ids)+1 {
			t.Fatalf("%d effects of %d events", len(got), len(ids)+1)
		}
		for _, id := range ids {
			if !slices.Contains(got, id) {
				t.Errorf("%v has no effect", id)
			}
		}
	})
}

// The mark and the effect are one: when the effect cannot be stored the event was
// not handled.
func TestTheMarkFallsWithItsEffect(t *testing.T) {
	k := newKit(t)
	k.add("document-1", "document.issued/1")
	e := newEffects(t, k.db)
	var n Notice
	for r, err := range k.store.ReadAll(t.Context(), eventstore.Position{}, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if n, err = numbered(t.Context(), k.log, unnumbered(r, domain.CitizenID{}), r.Position); err != nil {
			t.Fatal(err)
		}
	}
	broken := e.reactor()
	broken.Handle = func(context.Context, Notice) (Effect, error) {
		return Effect{Store: func(context.Context, *sqlx.Tx) error { return errOwn }, OnStored: func() { t.Error("announced") }}, nil
	}
	if err := k.db.handleOnce(t.Context(), broken, n); !errors.Is(err, errOwn) {
		t.Fatal(err)
	}
	if err := k.db.handleOnce(t.Context(), e.reactor(), n); err != nil {
		t.Fatal(err)
	}
	if got := e.kept(t); len(got) != 1 {
		t.Errorf("effects %v", got)
	}
}

func TestReplay(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		bad := k.add("document-1", "document.issued/1")
		good := k.add("document-1", "document.updated/1")
		e := newEffects(t, k.db)
		e.fail = func(_ context.Context, n Notice) error {
			if n.ID == bad {
				return errOwn
			}
			return nil
		}
		r := k.run(e.reactor())
		if id := <-e.stored; id != good {
			t.Fatal(id)
		}
		if err := r.Replay(t.Context(), "nobody", 0); !errors.Is(err, ErrNoReactor) {
			t.Errorf("%v, want ErrNoReactor", err)
		}
		if err := r.Replay(t.Context(), "effects", 1); !errors.Is(err, errNotSetAside) {
			t.Errorf("%v, want errNotSetAside", err)
		}
		if err := r.Replay(t.Context(), "effects", 0); !errors.Is(err, errOwn) {
			t.Errorf("%v, want the handler's error", err)
		}
		if aside := k.poisoned(); len(aside) != 1 || aside[0].Attempts != 6 {
			t.Errorf("set aside %+v, want six attempts", aside)
		}
		e.fail = nil
		if err := r.Replay(t.Context(), "effects", 0); err != nil {
			t.Fatal(err)
		}
		if got := e.kept(t); !slices.Equal(got, []uuid.UUID{good, bad}) || len(k.poisoned()) != 0 {
			t.Errorf("effects %v, set aside %+v", got, k.poisoned())
		}
	})
}

func TestReactorsDoNotHinderEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		ids := k.addMany(3, "document-1", "document.issued/1")
		e := newEffects(t, k.db)
		stuck := Reactor{Name: "stuck", Topics: []string{"document", "document.issued"}, Handle: func(context.Context, Notice) (Effect, error) {
			return Effect{}, ErrLater
		}}
		r := k.run(stuck, e.reactor())
		for range ids {
			<-e.stored
		}
		synctest.Wait()
		if p := r.Progress(); len(p) != 2 {
			t.Errorf("progress %+v, want two lines", p)
		}
	})
}

func TestRouterRefusesBadReactors(t *testing.T) {
	k := newKit(t)
	handle := func(context.Context, Notice) (Effect, error) { return Effect{}, nil }
	for name, bad := range map[string][]Reactor{
		"no name":    {{Topics: []string{"document"}, Handle: handle}},
		"no topic":   {{Name: "x", Handle: handle}},
		"no handler": {{Name: "x", Topics: []string{"document"}}},
		"bad topic":  {{Name: "x", Topics: []string{"document-1"}, Handle: handle}},
		"same topic": {{Name: "x", Topics: []string{"document", "document"}, Handle: handle}},
		"same name":  {{Name: "x", Topics: []string{"document"}, Handle: handle}, {Name: "x", Topics: []string{"consent"}, Handle: handle}},
	} {
		if _, err := NewRouter(RouterOptions{DB: k.db, Log: k.log, Reactors: bad, Logger: silent}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRouterWithoutReactorsEndsWithItsContext(t *testing.T) {
	k := newKit(t)
	r, err := NewRouter(RouterOptions{DB: k.db, Log: k.log, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestPruneForgetsOldRepetitionsOnly(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		old := k.add("document-1", "document.issued/1")
		e := newEffects(t, k.db)
		k.run(e.reactor())
		<-e.stored
		if _, err := k.db.sql.Writer.Exec(`UPDATE reactor_done SET done_at = ?`, time.Now().Add(-keepHandled).UnixMicro()); err != nil {
			t.Fatal(err)
		}
		young := k.add("document-1", "document.updated/1")
		<-e.stored
		time.Sleep(2 * pruneEvery) // virtual
		for id, want := range map[uuid.UUID]bool{old: false, young: true} {
			if got, err := k.db.handled(t.Context(), "effects", id); err != nil || got != want {
				t.Errorf("remembered: %t, want %t (%v)", got, want, err)
			}
		}
	})
}
