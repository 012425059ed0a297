package backup_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/memory"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storetest"
)

// filledLog is a log of two streams.
func filledLog(t *testing.T) (eventstore.Store, []eventstore.Record) {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	for _, stream := range []eventstore.Stream{"document-1", "consent-1", "document-1"} {
		records := storetest.Records(3)
		records[1].Sealed, records[2].Clear = nil, []byte{} // none, and an empty one
		if _, err := store.Append(t.Context(), eventstore.Batch{Stream: stream, Expected: eventstore.Any, Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	return store, read(t, store)
}

func read(t *testing.T, store eventstore.Store) (all []eventstore.Record) {
	t.Helper()
	for r, err := range store.ReadAll(t.Context(), eventstore.Position{}, 1000) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// What a log in PostgreSQL holds up to a position comes back record by record, and nothing of later.
func TestRecordsComeBackAsTheyWere(t *testing.T) {
	store, all := filledLog(t)
	for n := range len(all) + 1 {
		part := backup.Records{Ctx: t.Context(), Store: store}
		if n > 0 {
			part.End = all[n-1].Position
		}
		head, err := part.Head()
		if err != nil || head.Records != int64(n) || n > 0 && (head.Last != backup.Sum(proof.LeafHash(&all[n-1])) || !head.At.Equal(all[n-1].Time)) {
			t.Fatalf("%+v %v", head, err)
		}
		var written bytes.Buffer
		if size, err := part.WriteTo(&written); err != nil || size != int64(written.Len()) {
			t.Fatal(size, written.Len(), err)
		}
		i := 0
		for r, err := range backup.ReadRecords(bytes.NewReader(written.Bytes())) {
			if err != nil {
				t.Fatal(err)
			}
			if proof.LeafHash(&r) != proof.LeafHash(&all[i]) || (r.Sealed == nil) != (all[i].Sealed == nil) {
				t.Errorf("record %d of %d is %+v, was %+v", i, n, r, all[i])
			}
			i++
		}
		if i != n {
			t.Errorf("%d records of %d", i, n)
		}
	}
	past := backup.Records{Ctx: t.Context(), Store: store, End: eventstore.Position{Commit: 100, Prepare: 100}}
	if _, err := past.WriteTo(io.Discard); err == nil {
		t.Error("a log that ends before the moment of the backup was written as if it were whole")
	}
	if _, err := past.Head(); err == nil {
		t.Error("a head that is not there")
	}
}

func TestRecordsCutOffAreDamaged(t *testing.T) {
	store, all := filledLog(t)
	var written bytes.Buffer
	if _, err := (backup.Records{Ctx: t.Context(), Store: store, End: all[len(all)-1].Position}).WriteTo(&written); err != nil {
		t.Fatal(err)
	}
	whole := written.Bytes()
	last := func(b []byte) (err error) {
		for _, err = range backup.ReadRecords(bytes.NewReader(b)) {
		}
		return err
	}
	for n := range len(whole) {
		if err := last(whole[:n]); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("cut off at %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if err := last(append(slices.Clone(whole), 0)); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("with a byte behind it: %v", err)
	}
}

var serverSteps = []string{`
CREATE TABLE keys (
	n       INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	wrapped BLOB
) STRICT;
`}

func inFile(t *testing.T, path string) *keysdb.DB {
	t.Helper()
	db, err := keysdb.Open(t.Context(), path, sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

type namedKey struct {
	N       int64
	Name    string
	Wrapped []byte
}

func keysIn(t *testing.T, db *keysdb.DB) (all []namedKey) {
	t.Helper()
	s, err := db.Read(`SELECT n, name, wrapped FROM keys ORDER BY n`)
	if err == nil {
		err = s.Select(&all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Tables on a server come back in a file as they were at one moment; tables that this program does
// not know are refused, because nobody could say what would be lost.
func TestTablesOfAServerAreRestoredIntoAFile(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	server, _, err := keysdb.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	empty := filepath.Join(t.TempDir(), "empty.db")
	for _, db := range []*keysdb.DB{server, inFile(t, empty)} {
		if err := db.Migrate(t.Context(), "keys", serverSteps); err != nil {
			t.Fatal(err)
		}
	}
	change := func(sql string, args ...any) {
		t.Helper()
		if _, err := keysdb.Do(t.Context(), server, func(tx *keysdb.Tx) (int64, error) { return tx.Exec(sql, args...) }); err != nil {
			t.Fatal(err)
		}
	}
	for i, wrapped := range []any{nil, []byte{}, []byte{0, 0xff}} {
		change(`INSERT INTO keys (n, name, wrapped) VALUES (?, ?, ?)`, int64(i)-1, string(rune('é'+i)), wrapped)
	}
	shape, err := sqlitedb.ReadShape(t.Context(), empty)
	if err != nil {
		t.Fatal(err)
	}
	from, err := keysdb.OpenPostgresSnapshot(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if err := from.Take(); err != nil {
		t.Fatal(err)
	}
	was := keysIn(t, server)
	change(`DELETE FROM keys WHERE n = 1`)
	change(`INSERT INTO keys (n, name) VALUES (9, 'later')`)
	var oldest, none int64
	if err := from.Integers(`SELECT min(n), NULL FROM keys`, &oldest, &none); err != nil || oldest != -1 || none != 0 {
		t.Error(oldest, none, err)
	}
	if steps, err := keysdb.StepsIn(from); err != nil || len(steps) != 1 || steps["keys"] != 1 {
		t.Error(steps, err)
	}
	var written bytes.Buffer
	if n, err := (backup.Tables{From: from, Shape: shape}).WriteTo(&written); err != nil || n != int64(written.Len()) {
		t.Fatal(n, err)
	}
	restored := filepath.Join(t.TempDir(), "restored.db")
	if err := keysdb.Restore(t.Context(), restored, bytes.NewReader(written.Bytes())); err != nil {
		t.Fatal(err)
	}
	back := inFile(t, restored)
	if is := keysIn(t, back); len(is) != 3 || !slices.EqualFunc(is, was, func(a, b namedKey) bool {
		return a.N == b.N && a.Name == b.Name && bytes.Equal(a.Wrapped, b.Wrapped) && (a.Wrapped == nil) == (b.Wrapped == nil)
	}) {
		t.Errorf("%+v, was %+v", is, was)
	}
	if err := back.Migrate(t.Context(), "keys", serverSteps); err != nil {
		t.Errorf("the file is not at the server's step: %v", err)
	}

	for _, sql := range []string{`CREATE TABLE another (n bigint)`, `ALTER TABLE keys ADD COLUMN more bigint`} {
		change(`DROP TABLE IF EXISTS another`)
		change(sql)
		if err := from.Take(); err != nil {
			t.Fatal(err)
		}
		if _, err := (backup.Tables{From: from, Shape: shape}).WriteTo(io.Discard); !errors.Is(err, backup.ErrForm) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
