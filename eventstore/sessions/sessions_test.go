package sessions_test

import (
	"testing"
	"time"

	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sessions"
)

var start = time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC)

// onEach runs a test on a file and on a PostgreSQL, each opened by two processes.
func onEach(t *testing.T, test func(t *testing.T, one, other *sessions.Table)) {
	run := func(t *testing.T, open func() *keysdb.DB) {
		var both [2]*sessions.Table
		for i := range both {
			table, err := sessions.Open(t.Context(), open())
			if err != nil {
				t.Fatal(err)
			}
			both[i] = table
		}
		test(t, both[0], both[1])
	}
	t.Run("SQLite", func(t *testing.T) {
		dir := t.TempDir()
		run(t, func() *keysdb.DB { return ringtest.OpenDB(t, dir) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		run(t, func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) })
	})
}

func begin(t *testing.T, table *sessions.Table, id string, now time.Time) {
	t.Helper()
	if err := table.Begin(t.Context(), []byte(id), []byte("sealed "+id), now, now.Add(15*time.Minute), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

// is fails the test unless a session is found, or is not, and extends it by 15 minutes.
func is(t *testing.T, table *sessions.Table, id string, now time.Time, want bool) {
	t.Helper()
	sealed, err := table.Use(t.Context(), []byte(id), now, now.Add(15*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if found := string(sealed) == "sealed "+id; found != want || !want && sealed != nil {
		t.Errorf("%s after %s: %q", id, now.Sub(start), sealed)
	}
}

// A session is every process's, until it is ended by one of them.
func TestSessionEndsEverywhere(t *testing.T) {
	onEach(t, func(t *testing.T, one, other *sessions.Table) {
		begin(t, one, "a", start)
		begin(t, one, "b", start)
		is(t, other, "a", start, true)
		if err := other.End(t.Context(), []byte("a")); err != nil {
			t.Fatal(err)
		}
		is(t, one, "a", start, false)
		is(t, one, "b", start, true)
		is(t, one, "c", start, false)
		if err := one.Begin(t.Context(), []byte("b"), []byte("another's"), start, start.Add(time.Minute), start.Add(time.Minute)); err == nil {
			t.Error("a session takes the place of another one")
		}
	})
}

// A session that nobody uses is over after 15 minutes, and one that is used at its last end.
func TestSessionIsOverIdleAndAtItsEnd(t *testing.T) {
	onEach(t, func(t *testing.T, one, other *sessions.Table) {
		begin(t, one, "idle", start)
		begin(t, one, "used", start)
		is(t, one, "idle", start.Add(15*time.Minute), false)
		for at := time.Duration(0); at < time.Hour; at += 10 * time.Minute {
			is(t, other, "used", start.Add(at), true)
		}
		is(t, one, "used", start.Add(time.Hour-time.Second), true)
		is(t, one, "used", start.Add(time.Hour), false)
		begin(t, one, "later", start.Add(time.Hour)) // forgets those that are over
		is(t, one, "idle", start, false)
	})
}
