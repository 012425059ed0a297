package sqlitedb

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

func open(t *testing.T, path string, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSettingsDurabilityDependsOn(t *testing.T) {
	// A directory whose name means something in a URI must not change the path.
	dir := filepath.Join(t.TempDir(), "a?b#c%20d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.db")
	db := open(t, path, Options{SecureDelete: true})
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "page_size": "16384", "secure_delete": "1", "mmap_size": "0",
	} {
		var got string
		if err := db.Writer.Get(&got, "PRAGMA "+pragma); err != nil && pragma != "mmap_size" {
			t.Fatal(pragma, err)
		} else if err == nil && got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
	if _, err := db.Writer.Exec(`CREATE TABLE t(x)`); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(file), info.Mode())
		}
	}
}

func TestReaderCannotWrite(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"), Options{})
	if _, err := db.Writer.Exec(`CREATE TABLE t(x)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Reader.Exec(`INSERT INTO t VALUES (1)`); !errors.Is(err, sqlite3.READONLY) {
		t.Fatalf("%v, want READONLY", err)
	}
}

func TestTruncateLeavesNothingDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path, Options{SecureDelete: true})
	canary := bytes.Repeat([]byte("canary"), 20)
	for _, sql := range []string{`CREATE TABLE t(x)`, `INSERT INTO t VALUES ('` + string(canary) + `')`} {
		if _, err := db.Writer.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	if held, _ := onDisk(t, path, canary); !held {
		t.Fatal("the canary never was on disk: this test sees nothing")
	}
	if _, err := db.Writer.Exec(`DELETE FROM t`); err != nil {
		t.Fatal(err)
	}
	if err := db.Truncate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held, file := onDisk(t, path, canary); held {
		t.Fatalf("%s still holds it", filepath.Base(file))
	}
}

func onDisk(t *testing.T, path string, what []byte) (bool, string) {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, what) {
			return true, file
		}
	}
	return false, ""
}

// A start writes the log of a killed process over itself, and leaves every byte as it was.
func TestResyncChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path, Options{})
	if _, err := db.Writer.Exec(`PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(3000000))`); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "x.db")
	left := map[string][]byte{}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(killed+suffix, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		left[suffix] = content
	}
	if len(left["-wal"]) <= 2*resyncBytes || len(left["-wal"])%resyncBytes == 0 {
		t.Fatalf("a log of %d bytes", len(left["-wal"]))
	}
	again := open(t, killed, Options{})
	for suffix, want := range left {
		if got, err := os.ReadFile(killed + suffix); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q has %d bytes, %v", suffix, len(got), err)
		}
	}
	var n int
	if err := again.Reader.Get(&n, `SELECT length(x) FROM t`); err != nil || n != 3000000 {
		t.Error(n, err)
	}
}

// A prepared statement is compiled once, whatever is bound to it: a number after LIMIT too.
func TestPreparedStatementsStayCompiled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if _, err := open(t, path, Options{}).Writer.Exec(`CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)`); err != nil {
		t.Fatal(err)
	}
	for _, role := range []Role{Write, Read} {
		c, err := OpenConn(t.Context(), path, Options{}, role)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, _, err := c.Prepare(`SELECT x FROM t WHERE x > ? LIMIT ?`)
		if err != nil {
			t.Fatal(err)
		}
		for limit := range 3 {
			if err := errors.Join(s.BindInt64(1, 0), s.BindInt64(2, int64(limit))); err != nil {
				t.Fatal(err)
			}
			rows := 0
			for s.Step() {
				rows++
			}
			if err := s.Reset(); err != nil || rows != limit {
				t.Fatalf("LIMIT %d: %d rows, %v", limit, rows, err)
			}
		}
		if again := s.Status(sqlite3.STMTSTATUS_REPREPARE, false); again != 0 {
			t.Errorf("role %d: compiled %d times more for 3 executions", role, again)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		version string
		want    bool
	}{{"3.53.3", true}, {"3.53.4", false}, {"3.54.1", false}, {"3.9.10", true}, {"4.0.0", false}, {"3.53", true}} {
		if got := older(c.version, MinVersion); got != c.want {
			t.Errorf("older(%s) is %t", c.version, got)
		}
	}
}
