package keysdb

import (
	"context"
	"path/filepath"
	"testing"

	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite/sqlitedb"
)

// A table that takes longer to copy than a statement on PostgreSQL may comes whole.
func TestCopyTakesItsTime(t *testing.T) {
	steps := []string{`CREATE TABLE large (n INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;`}
	from, _, err := OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := to.BeginCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, db := range []*DB{from, to} {
		if err := db.Migrate(t.Context(), "large", steps); err != nil {
			t.Fatal(err)
		}
	}
	const rows = 4000 // of 8 KiB, more than lies ready on the way
	if _, err := Do(t.Context(), from, func(tx *Tx) (int64, error) {
		return tx.Exec(`INSERT INTO large (n, content) SELECT n, decode(repeat('0123456789abcdef', 1024), 'hex') FROM generate_series(1, ?) n`, rows)
	}); err != nil {
		t.Fatal(err)
	}
	from.reads.db.SetMaxOpenConns(1) // the one whose patience is short
	if _, err := from.reads.db.Exec(`SET statement_timeout = 100`); err != nil {
		t.Fatal(err)
	}
	waited := false
	slow := func(ctx context.Context, _ string, all []Row) ([]Row, error) {
		if waited {
			return all, nil
		}
		waited = true
		_, err := from.writes.db.ExecContext(ctx, `SELECT pg_sleep(0.3)`) // three times as long
		return all, err
	}
	done := int64(0)
	if err := Copy(t.Context(), from, to, slow, func(n, _ int64) { done = n }); err != nil || done != rows {
		t.Fatalf("%d rows, %v", done, err)
	}
	var timeout string
	if err := from.reads.db.Get(&timeout, `SHOW statement_timeout`); err != nil || timeout != "30s" {
		t.Errorf("a statement after it may take %s, %v", timeout, err)
	}
}
