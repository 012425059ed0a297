package faultfs_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/faulty/faultfs"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/storetest"
)

// TestQuiet: as long as nothing breaks, a store on it is a store.
func TestQuiet(t *testing.T) {
	dirs := map[eventstore.Store]string{}
	open := func(t testing.TB, dir string) eventstore.Store {
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{VFS: faultfs.New(t).Name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() }) // before its file system goes
		dirs[s] = dir
		return s
	}
	storetest.Run(t, storetest.Harness{
		Repeats: os.Getenv("COFFRE_SOAK") != "1", // a soak does all of it here, too
		Open:    func(t testing.TB) eventstore.Store { return open(t, t.TempDir()) },
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, dirs[s])
		},
	})
}

// TestCrashTakesWhatWasNotSynced: what synchronous=OFF only seemed to keep is gone,
// what FULL kept is there. A file system that lost nothing would prove nothing.
func TestCrashTakesWhatWasNotSynced(t *testing.T) {
	for _, volatile := range []bool{true, false} {
		fsys := faultfs.New(t)
		db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), sqlitedb.Options{VFS: fsys.Name, Volatile: volatile})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Writer.Exec(`CREATE TABLE t(x); INSERT INTO t VALUES (7)`); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		fsys.PowerOff(t, dir, nil)
		if _, err := db.Writer.Exec(`INSERT INTO t VALUES (8)`); err == nil {
			t.Fatal("a machine that is off still writes")
		}
		after, err := sqlitedb.Open(t.Context(), filepath.Join(dir, "x.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer after.Close()
		var got []int
		err = after.Reader.Select(&got, `SELECT x FROM t`)
		if there := err == nil && len(got) == 1 && got[0] == 7; there == volatile {
			t.Fatalf("volatile %t: after the crash %v, %v", volatile, got, err)
		}
	}
}

// TestCrashTakesFilesWhoseDirectoryWasNotSynced: the driver alone never syncs the
// directory of a new write-ahead log, and would lose all of it.
func TestCrashTakesFilesWhoseDirectoryWasNotSynced(t *testing.T) {
	for _, synced := range []bool{false, true} {
		fsys := faultfs.New(t)
		from := t.TempDir()
		c, err := sqlitedb.OpenConn(t.Context(), filepath.Join(from, "x.db"), sqlitedb.Options{VFS: fsys.Name}, sqlitedb.Write)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if synced {
			if err := sqlitedb.SyncDir(from, fsys.Name); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Exec(`CREATE TABLE t(x)`); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		fsys.PowerOff(t, dir, nil)
		if _, err := os.Stat(filepath.Join(dir, "x.db-wal")); (err == nil) != synced {
			t.Fatalf("synced %t: after the crash %v", synced, err)
		}
	}
}

// TestAFailedSyncIsNotMadeGoodByTheNext: what it covered may be lost for ever.
func TestAFailedSyncIsNotMadeGoodByTheNext(t *testing.T) {
	fsys := faultfs.New(t)
	from := t.TempDir()
	c, err := sqlitedb.OpenConn(t.Context(), filepath.Join(from, "x.db"), sqlitedb.Options{VFS: fsys.Name}, sqlitedb.Write)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.Exec(`CREATE TABLE t(x)`), sqlitedb.SyncDir(from, fsys.Name)); err != nil {
		t.Fatal(err)
	}
	fsys.SetRule(faultfs.At(faultfs.Sync, fsys.Counts()[faultfs.Sync]+1, faultfs.Fail))
	if err := c.Exec(`INSERT INTO t VALUES (1)`); !errors.Is(err, sqlite3.IOERR_FSYNC) {
		t.Fatalf("%v, want a failed sync", err)
	}
	lost, kept := 0, 0
	for seed := range uint64(40) {
		dir := t.TempDir()
		fsys.PowerOff(t, dir, rand.New(rand.NewPCG(seed, 0)))
		after, err := sqlitedb.Open(t.Context(), filepath.Join(dir, "x.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := after.Reader.Get(&n, `SELECT count(*) FROM t`); err != nil {
			t.Fatal(err)
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			lost++
		} else {
			kept++
		}
	}
	if lost == 0 || kept == 0 {
		t.Fatalf("of 40 power cuts %d lost the commit whose sync failed and %d kept it; both must happen", lost, kept)
	}
}
