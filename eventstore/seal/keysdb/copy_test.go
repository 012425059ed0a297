package keysdb_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

var copySteps = []string{`
CREATE TABLE keys (
	n       INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	wrapped BLOB
) STRICT;
CREATE TABLE words (word TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL) STRICT;
`}

type keyRow struct {
	N       int64
	Name    string
	Wrapped []byte
}

func keyRows(t *testing.T, db *keysdb.DB) (rows []keyRow) {
	t.Helper()
	s, err := db.Read(`SELECT n, name, wrapped FROM keys ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Select(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func fill(t *testing.T, db *keysdb.DB, n int) {
	t.Helper()
	if _, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
		for i := range n {
			var wrapped any // every seventh has none
			if i%7 != 0 {
				wrapped = []byte{0, byte(i), 0xff}
			}
			if _, err := tx.Exec(`INSERT INTO keys (n, name, wrapped) VALUES (?, ?, ?)`, 3*i+5, string(rune('a'+i%26))+string(rune(0x4e00+i)), wrapped); err != nil {
				return 0, err
			}
		}
		return tx.Exec(`INSERT INTO words (word, n) VALUES (?, ?)`, "w", n)
	}); err != nil {
		t.Fatal(err)
	}
}

// target returns an empty database, marked and brought to the same steps.
func target(t *testing.T, db *keysdb.DB, err error) *keysdb.DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.BeginCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), "copied", copySteps); err != nil {
		t.Fatal(err)
	}
	return db
}

// From a file to PostgreSQL and back: the same rows, numbers and bytes, and new
// rows get new numbers.
func TestCopy(t *testing.T) {
	first, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	if err := first.Migrate(t.Context(), "copied", copySteps); err != nil {
		t.Fatal(err)
	}
	fill(t, first, 2345)
	second, _, err := keysdb.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	target(t, second, err)
	third, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
	target(t, third, err)

	from := first
	for _, to := range []*keysdb.DB{second, third} {
		var done, total int64
		if err := keysdb.Copy(t.Context(), from, to, nil, func(d, n int64) { done, total = d, n }); err != nil {
			t.Fatal(err)
		}
		if done != 2346 || total != 2346 {
			t.Fatalf("told of %d of %d rows", done, total)
		}
		if unfinished, err := to.Unfinished(t.Context()); err != nil || !unfinished {
			t.Fatalf("unfinished %v, %v, before the end", unfinished, err)
		}
		if err := to.EndCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(keyRows(t, from), keyRows(t, to)) {
			t.Fatal("the rows differ")
		}
		if unfinished, err := to.Unfinished(t.Context()); err != nil || unfinished {
			t.Fatalf("unfinished %v, %v", unfinished, err)
		}
		from = to
	}
	for _, db := range []*keysdb.DB{second, third} {
		if _, err := keysdb.Do(t.Context(), db, func(tx *keysdb.Tx) (int64, error) {
			return tx.Exec(`INSERT INTO keys (name) VALUES ('next')`)
		}); err != nil {
			t.Fatal(err)
		}
		if rows := keyRows(t, db); rows[len(rows)-1].Name != "next" {
			t.Fatal("a new row's number is not above the others'")
		}
		if err := keysdb.Copy(t.Context(), first, db, nil, nil); !errors.Is(err, keysdb.ErrInUse) {
			t.Fatalf("copied into a database in use: %v", err)
		}
		if err := db.BeginCopy(t.Context()); !errors.Is(err, keysdb.ErrInUse) {
			t.Fatalf("marked a database in use: %v", err)
		}
	}
}

var errStopped = errors.New("stopped")

// A copy that stops leaves the mark, and the next one leaves nothing of it.
func TestCopyStopped(t *testing.T) {
	onEachTarget(t, func(t *testing.T, to *keysdb.DB) {
		from, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { from.Close() })
		if err := from.Migrate(t.Context(), "copied", copySteps); err != nil {
			t.Fatal(err)
		}
		fill(t, from, 2100)
		n := 0
		stop := func(_ context.Context, table string, rows []keysdb.Row) ([]keysdb.Row, error) {
			if n++; n == 3 {
				return nil, errStopped
			}
			return rows, nil
		}
		if err := keysdb.Copy(t.Context(), from, to, stop, nil); !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		if unfinished, err := to.Unfinished(t.Context()); err != nil || !unfinished {
			t.Fatalf("unfinished %v, %v", unfinished, err)
		}
		// Meanwhile something was destroyed in the source: it must not survive in the target.
		if _, err := keysdb.Do(t.Context(), from, func(tx *keysdb.Tx) (int64, error) {
			return tx.Exec(`UPDATE keys SET wrapped = NULL WHERE n < 500`)
		}); err != nil {
			t.Fatal(err)
		}
		if err := to.BeginCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		mark := func(_ context.Context, table string, rows []keysdb.Row) ([]keysdb.Row, error) {
			if table == "words" {
				return nil, nil
			}
			for _, row := range rows {
				if table == "keys" && row["wrapped"] != nil {
					row["wrapped"] = []byte("anew")
				}
			}
			return rows, nil
		}
		if err := keysdb.Copy(t.Context(), from, to, mark, nil); err != nil {
			t.Fatal(err)
		}
		for i, row := range keyRows(t, to) {
			if want := row.N >= 500 && i%7 != 0; want != (string(row.Wrapped) == "anew") || !want && row.Wrapped != nil {
				t.Fatalf("row %d holds %d bytes", row.N, len(row.Wrapped))
			}
		}
	})
}

// onEachTarget runs a test with an empty, marked database of each kind.
func onEachTarget(t *testing.T, test func(*testing.T, *keysdb.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		db, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
		test(t, target(t, db, err))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, _, err := keysdb.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
		test(t, target(t, db, err))
	})
}

// What a copy did not finish is no source: the target would be taken for whole.
func TestCopyOfAnUnfinishedCopy(t *testing.T) {
	onEachTarget(t, func(t *testing.T, half *keysdb.DB) {
		to, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
		target(t, to, err)
		if err := keysdb.Copy(t.Context(), half, to, nil, nil); !errors.Is(err, keysdb.ErrUnfinished) {
			t.Fatal(err)
		}
	})
}

// Databases of different steps are not copied into each other.
func TestCopyOfAnotherVersion(t *testing.T) {
	onEachTarget(t, func(t *testing.T, to *keysdb.DB) {
		from, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { from.Close() })
		if err := from.Migrate(t.Context(), "copied", append(copySteps[:1:1], `CREATE TABLE more (x INTEGER)`)); err != nil {
			t.Fatal(err)
		}
		if err := keysdb.Copy(t.Context(), from, to, nil, nil); !errors.Is(err, keysdb.ErrSteps) {
			t.Fatal(err)
		}
	})
}
