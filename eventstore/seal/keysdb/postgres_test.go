package keysdb_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
)

// Whoever reads a number and writes the next one must not meet another process
// doing the same.
func TestChangesOfSeveralProcessesAreInOneOrder(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	const processes, each = 4, 50
	var wg sync.WaitGroup
	for range processes {
		db := openPostgres(t, dsn)
		wg.Go(func() {
			for range each {
				if _, err := keysdb.Do(context.Background(), db, func(tx *keysdb.Tx) (int64, error) {
					var most int64
					if err := tx.Row(`SELECT COALESCE(MAX(x), 0) FROM t`, nil, &most); err != nil {
						return 0, err
					}
					return tx.Exec(`INSERT INTO t (x) VALUES (?)`, most+1)
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, openPostgres(t, dsn)); n != processes*each {
		t.Fatalf("%d rows, want %d", n, processes*each)
	}
}

// One process makes the tables, and the others find them.
func TestProcessesThatStartAtOnce(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, _, err := keysdb.OpenPostgres(context.Background(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Migrate(context.Background(), "test", []string{`CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB) STRICT`}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A server that crashes takes nothing that was acknowledged; when it is back the
// same handle goes on.
func TestCrashOfTheServer(t *testing.T) {
	server := pgtest.Start(t)
	db := openPostgres(t, server.Database(t))
	acknowledged := 0
	for round := range 3 {
		for x := range 20 {
			if err := insert(t.Context(), db, 100*round+x); err != nil {
				t.Fatal(err)
			}
			acknowledged++
		}
		server.Crash(t)
		err := insert(t.Context(), db, 100*round+50)
		if !errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrFailed) {
			t.Fatalf("with the server gone: %v", err)
		}
		server.Start(t)
		if n := count(t, db); n != acknowledged {
			t.Fatalf("%d rows after the crash, %d acknowledged", n, acknowledged)
		}
	}
}

// A connection that ends while it commits leaves an outcome that nobody knows; one
// that ends before is used no more, and nobody notices.
func TestConnectionEnds(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	db := openPostgres(t, dsn)
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	end := func() {
		if _, err := super.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Error(err)
		}
	}
	for x := range 5 {
		end()
		if err := insert(t.Context(), db, x); err != nil {
			t.Fatalf("after the connection was ended while it rested: %v", err)
		}
	}
	runs := 0
	if _, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
		if runs++; runs == 1 {
			end()
		}
		return tx.Exec(`INSERT INTO t (x) VALUES (100)`)
	}); err != nil || runs != 2 {
		t.Fatalf("ended within a change: %v, run %d times", err, runs)
	}
	if _, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
		n, err := tx.Exec(`INSERT INTO t (x) VALUES (200)`)
		end()
		return n, err
	}); !errors.Is(err, eventstore.ErrOutcomeUnknown) || !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("ended before the commit was answered: %v", err)
	}
	if n := count(t, db); n != 6 && n != 7 {
		t.Fatalf("%d rows", n)
	}
}

// What was deleted leaves the tables, unless a session still sees it: then Scrub says so.
func TestScrub(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	db := openPostgres(t, dsn)
	for x := range 10 {
		if err := insert(t.Context(), db, x); err != nil {
			t.Fatal(err)
		}
	}
	other, err := sqlx.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.Get(&n, `SELECT count(*) FROM coffre_keys.t`); err != nil {
		t.Fatal(err)
	}
	if _, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) { return tx.Exec(`DELETE FROM t`) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Scrub(t.Context()); !errors.Is(err, pgdb.ErrSeen) {
		t.Fatalf("while somebody sees the rows: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Get(&n, `SELECT pg_relation_size('coffre_keys.t')`); err != nil || n != 0 {
		t.Fatalf("%d bytes of table are left: %v", n, err)
	}
}

// A session that holds the turn and does nothing is ended by the server: nobody
// else waits longer than idle_in_transaction_session_timeout.
func TestSessionThatHoldsTheTurn(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	db := openPostgres(t, dsn)
	hanging, err := pgdb.Open(dsn, pgdb.Options{Schema: "coffre_keys"})
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	tx, err := hanging.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SET LOCAL idle_in_transaction_session_timeout = 300`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(x'63660002'::bigint)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := insert(ctx, db, 1); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err == nil {
		t.Fatal("it was not ended: this test shows nothing")
	}
}

// A process that starts on tables that are of today's form waits for none that writes.
func TestAMigrationThatWasRunWaitsForNobody(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	steps := []string{`CREATE TABLE t (x INTEGER NOT NULL UNIQUE)`}
	writing, _, err := keysdb.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer writing.Close()
	if err := writing.Migrate(t.Context(), "test", steps); err != nil {
		t.Fatal(err)
	}
	starting, _, err := keysdb.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer starting.Close()
	if _, err := keysdb.Do(t.Context(), writing, func(*keysdb.Tx) (struct{}, error) { // it has the turn of all processes
		return struct{}{}, starting.Migrate(t.Context(), "test", steps)
	}); err != nil {
		t.Fatal(err)
	}
}
