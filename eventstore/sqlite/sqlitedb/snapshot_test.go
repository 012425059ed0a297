package sqlitedb

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"pgregory.net/rapid"
)

// filled is a database with every kind of value, index and trigger.
func filled(t *testing.T) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path, Options{SecureDelete: true})
	for _, sql := range []string{
		`PRAGMA application_id = 7`, `PRAGMA user_version = 3`,
		`CREATE TABLE IF NOT EXISTS "a b" (id INTEGER PRIMARY KEY, v ANY, w TEXT NOT NULL UNIQUE) STRICT`,
		`CREATE TABLE c (k BLOB NOT NULL, n INTEGER, PRIMARY KEY (k)) STRICT, WITHOUT ROWID`,
		`CREATE INDEX c_by_n ON c (n) WHERE n > 1`,
		`CREATE TRIGGER c_never BEFORE INSERT ON c BEGIN SELECT RAISE(ABORT, 'never') WHERE NEW.n = 99; END`,
		`INSERT INTO "a b" VALUES (1, NULL, ''), (5, -9223372036854775808, 'é'), (9, 1.5, 'x'), (11, x'', 'y'), (12, x'00ff', 'z'), (13, 'text', 'zz')`,
		`INSERT INTO c VALUES (x'01', 1), (x'', NULL)`,
		`PRAGMA recursive_triggers = ON`, `CREATE TRIGGER a_never BEFORE INSERT ON "a b" BEGIN SELECT RAISE(ABORT, 'never'); END`,
	} {
		if _, err := db.Writer.Exec(sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	return db, path
}

func take(t *testing.T, path string) *Snapshot {
	t.Helper()
	s, err := OpenSnapshot(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Take(); err != nil {
		t.Fatal(err)
	}
	return s
}

func dump(t *testing.T, s *Snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d of %d bytes: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestSnapshotIsRestoredAsItWas(t *testing.T) {
	db, path := filled(t)
	s := take(t, path)
	if _, err := db.Writer.Exec(`INSERT INTO c VALUES (x'02', 2)`); err != nil { // after it was taken
		t.Fatal(err)
	}
	was := dump(t, s)
	to := filepath.Join(t.TempDir(), "y.db")
	if err := Restore(t.Context(), to, Options{PageSize: 4096, Checksums: true}, bytes.NewReader(was)); err != nil {
		t.Fatal(err)
	}
	if is := dump(t, take(t, to)); !bytes.Equal(is, was) {
		t.Error("the copy of the copy differs")
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	again := open(t, to, Options{})
	if _, err := again.Writer.Exec(`INSERT INTO c VALUES (x'03', 99)`); err == nil {
		t.Error("the trigger is gone")
	}
	var rows, check, page string
	if err := errors.Join(again.Reader.Get(&rows, `SELECT count(*) FROM c`), again.Reader.Get(&check, `PRAGMA integrity_check`), again.Reader.Get(&page, `PRAGMA page_size`)); err != nil || rows != "2" || check != "ok" || page != "4096" {
		t.Error(rows, check, page, err)
	}
	if err := Restore(t.Context(), to, Options{}, bytes.NewReader(was)); !errors.Is(err, os.ErrExist) {
		t.Errorf("written over a database: %v", err)
	}
}

// What was deleted is nowhere in a copy, not even in what SQLite does not show.
func TestSnapshotHoldsNothingDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path, Options{}) // without SecureDelete
	canary := bytes.Repeat([]byte("canary"), 2000)
	for _, sql := range []string{`CREATE TABLE t(x)`, `INSERT INTO t VALUES ('` + string(canary) + `')`, `DELETE FROM t`} {
		if _, err := db.Writer.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Truncate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held, _ := onDisk(t, path, canary[:600]); !held {
		t.Fatal("the canary is not on disk: this test sees nothing")
	}
	if bytes.Contains(dump(t, take(t, path)), canary[:600]) {
		t.Error("the copy holds what was deleted")
	}
}

func TestTakenAgainItSeesMore(t *testing.T) {
	db, path := filled(t)
	s := take(t, path)
	count := func() (n int64) {
		t.Helper()
		if _, err := s.First(`SELECT count(*) FROM c`, func(row *sqlite3.Stmt) { n = row.ColumnInt64(0) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := db.Writer.Exec(`INSERT INTO c VALUES (x'02', 2)`); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 2 {
		t.Errorf("%d rows in the first state", n)
	}
	if err := s.Take(); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 3 {
		t.Errorf("%d rows in the second state", n)
	}
	if err := db.Truncate(t.Context()); err == nil {
		t.Error("a state that is held was truncated")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Truncate(t.Context()); err != nil {
		t.Error(err)
	}
}

// Bytes that are no whole copy are refused; those that happen to be one make no more
// than a database.
func TestRestoreOfOtherBytes(t *testing.T) {
	_, path := filled(t)
	whole := dump(t, take(t, path))
	dir := t.TempDir()
	restored := func(b []byte) error {
		to := filepath.Join(dir, "y.db")
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(to + suffix)
		}
		return Restore(t.Context(), to, Options{}, bytes.NewReader(b))
	}
	step := 16 // from a random place on
	if os.Getenv("COFFRE_SOAK") == "1" {
		step = 1
	}
	first := rand.IntN(step)
	t.Logf("cut off at every byte %d modulo %d", first, step)
	for n := first; n < len(whole); n += step {
		if err := restored(whole[:n]); !errors.Is(err, ErrCopy) {
			t.Fatalf("cut off at %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if err := restored(append(slices.Clone(whole), 0)); !errors.Is(err, ErrCopy) {
		t.Errorf("with a byte behind it: %v", err)
	}
	for _, sql := range []string{`ATTACH 'z.db' AS z`, `CREATE TABLE t (x); ATTACH 'z.db' AS z`, `CREATE VIRTUAL TABLE t USING fts5(x)`, `DROP TABLE c`} {
		foreign := bytes.Replace(whole, []byte(`CREATE TABLE c (k BLOB NOT NULL, n INTEGER, PRIMARY KEY (k)) STRICT, WITHOUT ROWID`), []byte(sql), 1)
		foreign[bytes.Index(foreign, []byte(sql))-1] = byte(len(sql))
		if err := restored(foreign); !errors.Is(err, ErrCopy) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	unnamed := slices.Clone(whole)
	unnamed[bytes.LastIndex(unnamed, []byte("\x01c"))+1] = 0 // the name before the rows
	if err := restored(unnamed); !errors.Is(err, ErrCopy) {
		t.Errorf("a table whose name is a zero byte: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "z.db" }) {
		t.Error("a file of somebody else's choice was made", err)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := slices.Clone(whole)
		for range rapid.IntRange(1, 4).Draw(t, "flips") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		}
		_ = restored(b) // it may still be a copy of something; it ends, and makes no other file
	})
}

// little is the memory of a connection that the indexes of these tests do not fit into.
const little = 24 << 20

// longRows makes a table whose index needs more than little memory to be sorted in.
const longRows = `CREATE TABLE long (k TEXT NOT NULL);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
	INSERT INTO long SELECT hex(randomblob(500)) FROM n;`

func TestIndexesLargerThanMemory(t *testing.T) {
	const index = `CREATE INDEX long_k ON long (k);`
	for _, what := range []struct {
		name string
		make func(ctx context.Context, path string) error
	}{
		{"of a table that is there", func(ctx context.Context, path string) error {
			db, err := Open(ctx, path, Options{Cache: 2 << 20})
			if err != nil {
				return err
			}
			_, err = db.Writer.ExecContext(ctx, longRows+Spill+index+NoSpill)
			return errors.Join(err, db.Close())
		}},
		{"of a table that is restored", func(ctx context.Context, path string) error {
			from := filepath.Join(t.TempDir(), "x.db")
			if _, err := open(t, from, Options{}).Writer.ExecContext(ctx, longRows+index); err != nil {
				return err
			}
			return Restore(ctx, path, Options{Cache: 2 << 20}, bytes.NewReader(dump(t, take(t, from))))
		}},
	} {
		t.Run(what.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "y.db")
			if err := what.make(sqlite3.WithMaxMemory(t.Context(), little), path); err != nil {
				t.Fatal(err)
			}
			var check string
			if err := open(t, path, Options{}).Reader.Get(&check, `PRAGMA integrity_check`); err != nil || check != "ok" {
				t.Errorf("%s, %v", check, err)
			}
			left, err := os.ReadDir(dir)
			for _, f := range left {
				if !strings.HasPrefix(f.Name(), "y.db") {
					t.Errorf("%s is left", f.Name())
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// What a query sorts does not fit into the memory of a connection.
func TestQueriesLargerThanMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if _, err := open(t, path, Options{}).Writer.ExecContext(t.Context(), longRows); err != nil {
		t.Fatal(err)
	}
	ctx := sqlite3.WithMaxMemory(t.Context(), little)
	db, err := Open(ctx, path, Options{Cache: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, query := range []string{
		`SELECT count(DISTINCT k) FROM long`,
		`SELECT sum(n) FROM (SELECT k, count(*) AS n FROM long GROUP BY k)`,
		`SELECT count(*) FROM (SELECT k, row_number() OVER (ORDER BY k) FROM long)`,
		`SELECT count(*) FROM (SELECT k FROM long UNION SELECT k FROM long)`,
	} {
		var n int
		if err := db.Reader.GetContext(ctx, &n, query); err != nil || n != 40000 {
			t.Errorf("%s: %d, %v", query, n, err)
		}
	}
}
