package keysdb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sqlite/sqlitedb"
)

func open(t testing.TB, path string, o sqlitedb.Options) *keysdb.DB {
	t.Helper()
	db, err := keysdb.Open(t.Context(), path, o)
	return ready(t, db, err)
}

// onEach runs a test on a file and on a PostgreSQL; open opens the same database
// each time it is called.
func onEach(t *testing.T, test func(t *testing.T, open func() *keysdb.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys.db")
		test(t, func() *keysdb.DB { return open(t, path, sqlitedb.Options{}) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		test(t, func() *keysdb.DB { return openPostgres(t, dsn) })
	})
}

func openPostgres(t testing.TB, dsn string) *keysdb.DB {
	t.Helper()
	db, doubts, err := keysdb.OpenPostgres(t.Context(), dsn)
	if len(doubts) > 0 {
		t.Error(doubts)
	}
	return ready(t, db, err)
}

func ready(t testing.TB, db *keysdb.DB, err error) *keysdb.DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), "test", []string{`CREATE TABLE t (x INTEGER NOT NULL UNIQUE)`}); err != nil {
		t.Fatal(err)
	}
	return db
}

func insert(ctx context.Context, db *keysdb.DB, x int) error {
	_, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO t (x) VALUES (?)`, x)
	})
	return err
}

func count(t *testing.T, db *keysdb.DB) (n int) {
	t.Helper()
	s, err := db.Read(`SELECT count(*) FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Get(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// block holds the sequencer inside a change until the returned function is called.
func block(t *testing.T, db *keysdb.DB) (release func()) {
	t.Helper()
	running, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	if err := db.Post(func(*keysdb.Tx) error {
		once.Do(func() { close(running) })
		<-gate
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	<-running
	return func() { close(gate) }
}

func TestWaitersShareOneSync(t *testing.T) {
	medium := ringtest.NewMedium(t)
	db := open(t, filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{VFS: medium.Name})
	release := block(t, db)
	before := medium.Syncs()
	var wg, ready sync.WaitGroup
	ready.Add(64)
	for x := range 64 {
		wg.Go(func() {
			ready.Done()
			if err := insert(t.Context(), db, x); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	release()
	wg.Wait()
	if n := count(t, db); n != 64 {
		t.Fatalf("%d rows", n)
	}
	// The last of the 64 may have queued a moment late: two or three batches, not 64.
	if syncs := medium.Syncs() - before; syncs > 16 {
		t.Errorf("64 changes took %d syncs", syncs)
	}
}

func TestOneErrorSpoilsNoOther(t *testing.T) { onEach(t, oneErrorSpoilsNoOther) }

func oneErrorSpoilsNoOther(t *testing.T, open func() *keysdb.DB) {
	db := open()
	release := block(t, db)
	ours := errors.New("ours")
	var wg sync.WaitGroup
	for x := range 20 {
		wg.Go(func() {
			_, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int, error) {
				if _, err := tx.Exec(`INSERT INTO t (x) VALUES (?)`, x); err != nil {
					return 0, err
				}
				if x%5 == 0 {
					return 0, ours // after its own write
				}
				return 0, nil
			})
			if x%5 == 0 != errors.Is(err, ours) || err != nil && !errors.Is(err, ours) {
				t.Errorf("change %d: %v", x, err)
			}
		})
	}
	release()
	wg.Wait()
	if n := count(t, db); n != 16 {
		t.Fatalf("%d rows, want 16", n)
	}
	if err := insert(t.Context(), db, 1); err == nil {
		t.Fatal("a broken constraint is no error")
	}
	if err := insert(t.Context(), db, 100); err != nil {
		t.Fatal("after an error nothing works", err)
	}
}

func TestCancelledWhileQueuedWritesNothing(t *testing.T) {
	onEach(t, cancelledWhileQueuedWritesNothing)
}

func cancelledWhileQueuedWritesNothing(t *testing.T, open func() *keysdb.DB) {
	db := open()
	release := block(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	ran := false
	go func() {
		_, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (int, error) { ran = true; return 0, nil })
		errs <- err
	}()
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) || errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
	release()
	if err := insert(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	if ran {
		t.Fatal("it ran")
	}
}

func TestCancelledInsideABatchIsUnknown(t *testing.T) { onEach(t, cancelledInsideABatchIsUnknown) }

func cancelledInsideABatchIsUnknown(t *testing.T, open func() *keysdb.DB) {
	db := open()
	ctx, cancel := context.WithCancel(t.Context())
	gate := make(chan struct{})
	_, err := keysdb.Do(ctx, db, func(*keysdb.Tx) (int, error) {
		cancel()
		<-gate
		return 0, nil
	})
	close(gate)
	if !errors.Is(err, eventstore.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestPostedChangesKeepTheirOrder(t *testing.T) { onEach(t, postedChangesKeepTheirOrder) }

func postedChangesKeepTheirOrder(t *testing.T, open func() *keysdb.DB) {
	db := open()
	for x := range 300 {
		if err := db.Post(func(tx *keysdb.Tx) error {
			_, err := tx.Exec(`INSERT INTO t (x) VALUES (?)`, x)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (n int, err error) {
		return n, tx.Row(`SELECT count(*) FROM t`, nil, &n)
	})
	if err != nil || seen != 300 {
		t.Fatalf("a change sees %d of the 300 posted before: %v", seen, err)
	}
	if err := db.Post(func(tx *keysdb.Tx) error {
		_, err := tx.Exec(`INSERT INTO t (x) VALUES (1000)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // writes what is queued
		t.Fatal(err)
	}
	if err := insert(t.Context(), db, 2000); !errors.Is(err, eventstore.ErrClosed) {
		t.Fatal(err)
	}
	if n := count(t, open()); n != 301 {
		t.Fatalf("%d rows after reopening, want 301", n)
	}
}

func TestPostedChangeHappensWithoutAnother(t *testing.T) {
	onEach(t, postedChangeHappensWithoutAnother)
}

func postedChangeHappensWithoutAnother(t *testing.T, open func() *keysdb.DB) {
	db := open()
	ran := make(chan struct{})
	if err := db.Post(func(*keysdb.Tx) error { close(ran); return nil }); err != nil {
		t.Fatal(err)
	}
	<-ran
}

func TestACompanionIsPartOfEveryTransaction(t *testing.T) {
	onEach(t, aCompanionIsPartOfEveryTransaction)
}

func aCompanionIsPartOfEveryTransaction(t *testing.T, open func() *keysdb.DB) {
	db := open()
	var next atomic.Int64
	next.Store(100)
	broken := errors.New("broken")
	db.Accompany(func(tx *keysdb.Tx) error {
		if next.Load() < 0 {
			return broken
		}
		_, err := tx.Exec(`INSERT INTO t (x) VALUES (?)`, next.Add(1))
		return err
	})
	if err := insert(t.Context(), db, 1); err != nil || count(t, db) != 2 {
		t.Fatalf("%d rows, %v: want the change and its companion", count(t, db), err)
	}
	if _, err := keysdb.Do(t.Context(), db, func(*keysdb.Tx) (int, error) { return 0, nil }); err != nil || count(t, db) != 3 {
		t.Errorf("%d rows, %v: it accompanies what writes nothing, too", count(t, db), err)
	}
	next.Store(-1)
	if err := insert(t.Context(), db, 2); !errors.Is(err, broken) || count(t, db) != 3 {
		t.Errorf("%d rows, %v: one that fails takes the change along", count(t, db), err)
	}
}

func TestFullQueue(t *testing.T) { onEach(t, fullQueue) }

func fullQueue(t *testing.T, open func() *keysdb.DB) {
	db := open()
	defer block(t, db)()
	for {
		if err := db.Post(func(*keysdb.Tx) error { return nil }); err != nil {
			if !errors.Is(err, eventstore.ErrOverloaded) {
				t.Fatal(err)
			}
			break
		}
	}
	// C-6: where nobody else finds room, what must pass still waits its turn.
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() {
		_, err := keysdb.DoAs(ctx, db, eventstore.Reserved, func(*keysdb.Tx) (int, error) { return 0, nil })
		waiting <- err
	}()
	if _, err := keysdb.Do(t.Context(), db, func(*keysdb.Tx) (int, error) { return 0, nil }); !errors.Is(err, eventstore.ErrOverloaded) {
		t.Fatal(err)
	}
	cancel()
	if err := <-waiting; errors.Is(err, eventstore.ErrOverloaded) {
		t.Fatal("C-6: no place was kept free")
	}
}

// At every call to the medium that fails: what was acknowledged is there after
// reopening, nothing is half there, and nothing more is taken until then.
func TestBrokenMedium(t *testing.T) {
	for n := 0; ; n++ {
		path := filepath.Join(t.TempDir(), "keys.db")
		medium := ringtest.NewMedium(t)
		db := open(t, path, sqlitedb.Options{VFS: medium.Name})
		medium.BreakAfter(n)
		acknowledged := 0
		var err error
		for x := range 5 {
			if err = insert(t.Context(), db, x); err != nil {
				break
			}
			acknowledged++
		}
		broken := medium.Broken()
		if broken {
			if !errors.Is(err, eventstore.ErrFailed) {
				t.Fatalf("call %d: %v", n, err)
			}
			medium.BreakAfter(-1)
			if err := insert(t.Context(), db, 50); !errors.Is(err, eventstore.ErrFailed) {
				t.Fatalf("call %d: taken after the medium failed: %v", n, err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		db.Close()
		if got := count(t, open(t, path, sqlitedb.Options{})); got < acknowledged || got > acknowledged+1 {
			t.Fatalf("call %d: %d rows, %d acknowledged", n, got, acknowledged)
		}
		if !broken {
			if n < 5 {
				t.Fatalf("only %d calls: this test broke nothing", n)
			}
			return
		}
	}
}

func TestMigrations(t *testing.T) { onEach(t, migrations) }

func migrations(t *testing.T, open func() *keysdb.DB) {
	db := open()
	steps := []string{`CREATE TABLE t (x INTEGER NOT NULL UNIQUE)`, `ALTER TABLE t ADD COLUMN y INTEGER`}
	for range 2 { // the second time nothing is left to do
		if err := db.Migrate(t.Context(), "test", steps); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Migrate(t.Context(), "test", append(steps, `NOT SQL`)); err == nil {
		t.Fatal("a step that fails is no error")
	}
	if err := db.Migrate(t.Context(), "test", steps); err != nil {
		t.Fatal("a failed step left something", err)
	}
	if err := db.Migrate(t.Context(), "test", steps[:1]); !errors.Is(err, keysdb.ErrNewer) {
		t.Fatal(err)
	}
}

// The index that a migration makes of many rows, and one that it removes, do not fit into the
// memory of a connection; what is sorted elsewhere for it is the index alone, and what else is
// deleted is overwritten.
func TestMigrationMakesAnIndexLargerThanMemory(t *testing.T) {
	ctx := sqlite3.WithMaxMemory(t.Context(), 32<<20)
	db, err := keysdb.Open(ctx, filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{Cache: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	steps := []string{`
CREATE TABLE long (k TEXT NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
INSERT INTO long SELECT hex(randomblob(500)) FROM n;`, `
CREATE UNIQUE INDEX long_k ON long (k);
CREATE INDEX long_part ON long (k) WHERE k > 'F';
CREATE TABLE place AS SELECT temp_store FROM pragma_temp_store;`, `
DROP INDEX long_k;
DROP INDEX long_part;`}
	if err := db.Migrate(ctx, "test", steps); err != nil {
		t.Fatal(err)
	}
	overwrites, err := keysdb.Do(ctx, db, func(tx *keysdb.Tx) (n int, err error) { err = tx.Row(`PRAGMA secure_delete`, nil, &n); return n, err })
	if err != nil || overwrites != 1 {
		t.Errorf("after a migration what is deleted is overwritten: %d, %v", overwrites, err)
	}
	var place int
	read, err := db.Read(`SELECT temp_store FROM place`)
	if err == nil {
		err = read.GetContext(ctx, &place)
	}
	if err != nil || place != 2 {
		t.Errorf("the rest of a migration has its temporary files at %d: %v", place, err)
	}
}

// A migration that is cut off at any of its steps leaves the tables as they were, and the next one
// does all that is missing.
func TestAMigrationIsCutOffAtEachStep(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *keysdb.DB) {
		db := open()
		steps := []string{
			`CREATE TABLE t (x INTEGER NOT NULL UNIQUE)`, `INSERT INTO t VALUES (1)`, `ALTER TABLE t ADD COLUMN y INTEGER`, `UPDATE t SET y = x`, `CREATE TABLE u (z INTEGER NOT NULL UNIQUE)`,
		}
		for from := range len(steps) { // the form that an older release left
			component := fmt.Sprintf("from%d", from)
			mine := make([]string, len(steps))
			for i, step := range steps {
				mine[i] = strings.NewReplacer(" t ", " t"+component+" ", " u ", " u"+component+" ").Replace(step)
			}
			if err := db.Migrate(t.Context(), component, mine[:from]); from > 0 && err != nil {
				t.Fatal(err)
			}
			for cut := from; cut < len(steps); cut++ {
				ctx, end := context.WithCancel(t.Context())
				end()
				if err := db.Migrate(ctx, component, mine); err == nil {
					t.Fatal("a migration that was ended came to its end")
				}
				broken := append(append([]string{}, mine[:cut]...), `NOT SQL`)
				if err := db.Migrate(t.Context(), component, broken); err == nil {
					t.Fatal("a step that fails is no error")
				}
			}
			for range 2 {
				if err := db.Migrate(t.Context(), component, mine); err != nil {
					t.Fatalf("from form %d: %v", from, err)
				}
			}
			y, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (y int, err error) {
				return y, tx.Row(`SELECT y FROM t`+component, nil, &y)
			})
			if err != nil || y != 1 {
				t.Errorf("from form %d: %d, %v", from, y, err)
			}
		}
	})
}

func BenchmarkDo64Callers(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "keys.db"), sqlitedb.Options{})
	var x atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := insert(b.Context(), db, int(x.Add(1))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
