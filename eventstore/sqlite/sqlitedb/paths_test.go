package sqlitedb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "coffre/eventstore/sqlite/sqlitedb"
)

// A folder may have any name that the system allows: what is written under it is read again,
// and every file is its owner's alone.
func TestF4FoldersOfAnyName(t *testing.T) {
	var every strings.Builder // one name with every character there is but the slash
	for c := 1; c < 256; c++ {
		if c != '/' {
			every.WriteByte(byte(c))
		}
	}
	for _, name := range []string{
		"a b", " ", "a+b", "a%20b", "a%2Fb", "100%", "?", "a?mode=memory", "#1", "a&b=c", "é ü 漢", "\xff\xfe", "\u202e", "line\nfeed", "'\"", "\\", ":memory:", "file:x", "*", "[a", "~", "-rf", "$HOME", "a;b",
		every.String()[:120], every.String()[120:],
	} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "x.db")
		for _, path := range []string{path, "/" + path, filepath.Join(dir, ".", "y.db")} {
			db, err := Open(t.Context(), path, Options{})
			if err != nil {
				t.Errorf("%q: %v", path, err)
				continue
			}
			if _, err := db.Writer.Exec(`CREATE TABLE IF NOT EXISTS kept (n INTEGER); INSERT INTO kept VALUES (1)`); err != nil {
				t.Errorf("%q: %v", path, err)
			}
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%q: %s has the mode %v, %v", name, f.Name(), info.Mode(), err)
				}
			}
			if err := db.Close(); err != nil {
				t.Errorf("%q: %v", path, err)
			}
		}
		db, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Errorf("%q again: %v", path, err)
			continue
		}
		var n int
		if err := db.Reader.Get(&n, `SELECT count(*) FROM kept`); err != nil || n != 2 { // written by two names of one path
			t.Errorf("%q: %d rows are left, %v", name, n, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A path that the driver has no room for is refused as that, also behind a short link; one that
// it has room for is opened.
func TestF4LongPaths(t *testing.T) {
	parent := t.TempDir()
	long := func(length int) string {
		dir := parent
		for length-len(dir) > 201 {
			dir = filepath.Join(dir, strings.Repeat("d", min(200, length-len(dir)-3)))
		}
		dir = filepath.Join(dir, strings.Repeat("e", length-len(dir)-1))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	fits := filepath.Join(long(1000-len("/x.db")), "x.db")
	db, err := Open(t.Context(), fits, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.Exec(`CREATE TABLE kept (n INTEGER)`); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	link := filepath.Join(parent, "link")
	if err := os.Symlink(long(2000), link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"by its length": filepath.Join(long(1000-len("x.db")), "x.db"), "behind a link": filepath.Join(link, "x.db")} {
		if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrPath) || strings.Contains(err.Error(), "ddd") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := OpenConn(t.Context(), path, Options{}, Read); !errors.Is(err, ErrPath) {
			t.Errorf("%s, a connection: %v", name, err)
		}
	}
}
