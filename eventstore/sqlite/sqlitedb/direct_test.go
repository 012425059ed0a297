package sqlitedb_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"

	. "coffre/eventstore/sqlite/sqlitedb"
)

// direct opens a database of three rows, and a Direct over it.
func direct(t *testing.T) *Direct {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t (x) VALUES ('one'), (X'02'), (NULL)`)
	d := NewDirect(path, Options{})
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

const selectFrom = `SELECT id FROM t WHERE id >= ? ORDER BY id`

func ids(t *testing.T, d *Direct, args ...any) (all []int64, err error) {
	t.Helper()
	err = d.Each(t.Context(), selectFrom, args, func(row *sqlite3.Stmt) error {
		all = append(all, row.ColumnInt64(0))
		return nil
	})
	return all, err
}

func TestDirectReadsAgainAfterWhateverEndedAQuery(t *testing.T) {
	d := direct(t)
	stop := errors.New("stop")
	for range 2 * 2 { // each connection, more than once
		if err := d.Each(t.Context(), selectFrom, []any{1}, func(*sqlite3.Stmt) error { return stop }); err != stop {
			t.Errorf("the visitor's error came back as %v", err)
		}
		ended, end := context.WithCancel(t.Context())
		err := d.Each(ended, selectFrom, []any{1}, func(*sqlite3.Stmt) error { end(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended gave %v", err)
		}
		if _, err := ids(t, d); !errors.Is(err, sqlite3.MISUSE) {
			t.Errorf("without its argument the query gave %v", err)
		}
		if all, err := ids(t, d, int64(2)); err != nil || !slices.Equal(all, []int64{2, 3}) {
			t.Errorf("%v, %v", all, err)
		}
		if _, err := ids(t, d, struct{}{}); err == nil {
			t.Error("an argument of no type of SQLite's was taken")
		}
	}
}

func TestDirectReadsNothingOnceClosed(t *testing.T) {
	d := direct(t)
	if _, err := ids(t, d, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if all, err := ids(t, d, 1); !errors.Is(err, sqlite3.MISUSE) || all != nil {
			t.Errorf("%v, %v", all, err)
		}
	}
}
