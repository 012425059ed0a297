package reactors

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
)

// onEach runs a test on a file and on a PostgreSQL; open opens the same tables each
// time it is called, as another process would where there may be one.
func onEach(t *testing.T, test func(t *testing.T, open func() *DB)) {
	t.Run("SQLite", func(t *testing.T) {
		db := openDB(t, filepath.Join(t.TempDir(), "reactors.db"))
		test(t, func() *DB { return db })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		test(t, func() *DB {
			db, err := OpenPostgres(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		})
	})
}

func TestPositionIsMovedByOneOnly(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		a, b := open(), open()
		at := func(n uint64) eventstore.Position { return eventstore.Position{Commit: n, Prepare: n} }
		for _, db := range []*DB{a, b} { // the first one counts
			got, err := db.position(t.Context(), "r", "document", func() (eventstore.Position, error) { return at(7), nil })
			if err != nil || got != at(7) {
				t.Fatal(got, err)
			}
		}
		if err := a.swapPosition(t.Context(), "r", "document", at(7), at(8)); err != nil {
			t.Fatal(err)
		}
		if err := b.swapPosition(t.Context(), "r", "document", at(7), at(9)); !errors.Is(err, errMoved) {
			t.Fatal(err)
		}
		if got, err := b.storedPosition(t.Context(), "r", "document"); err != nil || got != at(8) {
			t.Fatal(got, err)
		}
	})
}

func TestFurthestReactorIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		db := open()
		if name, at, err := db.Furthest(t.Context()); err != nil || name != "" || !at.IsZero() {
			t.Fatalf("of nobody: %q at %v, %v", name, at, err)
		}
		for name, at := range map[string]eventstore.Position{"slow": {Commit: 9, Prepare: 1}, "fast": {Commit: 10, Prepare: 2}, "same": {Commit: 10, Prepare: 1}} {
			if _, err := db.position(t.Context(), name, "document", func() (eventstore.Position, error) { return at, nil }); err != nil {
				t.Fatal(err)
			}
		}
		if name, at, err := db.Furthest(t.Context()); err != nil || name != "fast" || (at != eventstore.Position{Commit: 10, Prepare: 2}) {
			t.Fatalf("%q at %v, %v, want fast at 10/2", name, at, err)
		}
	})
}

func TestReactorsGoBackToTheEndOfTheLog(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		db := open()
		at := map[string]eventstore.Position{"behind": {Commit: 9, Prepare: 3}, "there": {Commit: 10, Prepare: 1}, "ahead": {Commit: 10, Prepare: 2}, "farAhead": {Commit: 11}}
		position := func(name string) eventstore.Position {
			p, err := db.position(t.Context(), name, "document", func() (eventstore.Position, error) { return at[name], nil })
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		for name := range at {
			position(name)
		}
		end := at["there"]
		if err := db.Rewind(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		for name, was := range at {
			want := end
			if name == "behind" {
				want = was
			}
			if got := position(name); got != want {
				t.Errorf("%s is at %v, want %v", name, got, want)
			}
		}
	})
}

func TestEffectIsStoredOnceHoweverManyDeliver(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		dbs := []*DB{open(), open(), open()}
		for _, db := range dbs {
			if err := db.Ensure(t.Context(), `CREATE TABLE IF NOT EXISTS effects (n INTEGER NOT NULL) STRICT;`); err != nil {
				t.Fatal(err)
			}
		}
		r := Reactor{Name: "r", Handle: func(context.Context, Notice) (Effect, error) {
			return Effect{Store: func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO effects (n) VALUES (?)`), 1)
				return err
			}}, nil
		}}
		n := Notice{ID: uuid.New()}
		var wg sync.WaitGroup
		for _, db := range dbs {
			for range 4 {
				wg.Go(func() {
					if err := db.handleOnce(t.Context(), r, n); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		var effects int
		if err := dbs[0].Reader().Get(&effects, `SELECT count(*) FROM effects`); err != nil || effects != 1 {
			t.Fatalf("%d effects: %v", effects, err)
		}
		if done, err := dbs[1].handled(t.Context(), "r", n.ID); err != nil || !done {
			t.Fatal(done, err)
		}
		if err := dbs[1].prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if done, err := dbs[0].handled(t.Context(), "r", n.ID); err != nil || done {
			t.Fatal(done, err)
		}
	})
}

func TestWhatIsSetAside(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		db := open()
		p := Poison{Reactor: "r", Leaf: 3, Event: uuid.New(), Type: "document.issued/1", Reason: "handler", Attempts: 2}
		for range 2 {
			if err := db.setAside(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		for _, reactor := range []string{"", "r"} {
			all, err := db.Poisoned(t.Context(), reactor, 10)
			if err != nil || len(all) != 1 || all[0].Attempts != 4 || all[0].Event != p.Event {
				t.Fatal(all, err)
			}
		}
		if one, err := db.findPoison(t.Context(), "r", 3); err != nil || one.Type != p.Type {
			t.Fatal(one, err)
		}
		if err := db.removePoison(t.Context(), "r", 3); err != nil {
			t.Fatal(err)
		}
		if _, err := db.findPoison(t.Context(), "r", 3); !errors.Is(err, errNotSetAside) {
			t.Fatal(err)
		}
	})
}

// Processes that start at once on an empty database divide a reactor's work together: each
// finds every part where one of them put it, and none ends for it.
func TestProcessesDivideAReactorTogether(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *DB) {
		processes := []*DB{open(), open(), open()}
		for round := range 40 {
			reactor := fmt.Sprint("r", round)
			var divided sync.WaitGroup
			for n, db := range processes {
				divided.Go(func() {
					first := eventstore.Position{Commit: uint64(n + 1), Prepare: uint64(n + 1)}
					if err := db.divide(t.Context(), reactor, 8, first); err != nil {
						t.Error(err)
					}
				})
			}
			divided.Wait()
			for n := range 8 {
				if _, err := processes[0].storedPosition(t.Context(), reactor, (Part{n, 8}).String()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
