package sqlitedb_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore/faulty/faultfs"
	. "coffre/eventstore/sqlite/sqlitedb"
)

// onWAL counts the writes to write-ahead logs, and has the n-th fail for want of room.
func onWAL(fsys *faultfs.FS, fail int64) *atomic.Int64 {
	var n atomic.Int64
	fsys.SetRule(func(op faultfs.Op) faultfs.Fault {
		if op.Change == faultfs.Write && strings.HasSuffix(op.File, "-wal") && n.Add(1) == fail {
			return faultfs.Full
		}
		return faultfs.Pass
	})
	return &n
}

func openTable(t *testing.T, fsys *faultfs.FS, o Options) *DB {
	t.Helper()
	o.VFS, o.PageSize = fsys.Name, 4<<10
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB); INSERT INTO t SELECT 0, zeroblob(10)`)
	return db
}

func exec(t *testing.T, db *DB, statement string) {
	t.Helper()
	if _, err := db.Writer.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// rows counts the rows by a connection of its own, and checks the database.
func rows(t *testing.T, db *DB) (n int) {
	t.Helper()
	var sound string
	if err := errors.Join(db.Reader.Get(&sound, `PRAGMA integrity_check`), db.Reader.Get(&n, `SELECT count(*) FROM t`)); err != nil || sound != "ok" {
		t.Fatal(sound, err)
	}
	return n
}

// many inserts a thousand rows, far more than the page cache of a test holds.
const many = `INSERT INTO t (x) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT randomblob(2000) FROM n`

func TestACommitReachesItsLogByOneWrite(t *testing.T) {
	for name, o := range map[string]Options{"synced": {}, "lagging": {Lagging: true}} {
		t.Run(name, func(t *testing.T) {
			fsys := faultfs.New(t)
			db := openTable(t, fsys, o)
			n, syncs := onWAL(fsys, 0), fsys.Counts()[faultfs.Sync]
			exec(t, db, `INSERT INTO t (x) VALUES (randomblob(20000))`) // at least five pages
			if n.Load() != 1 {
				t.Errorf("%d writes, want 1", n.Load())
			}
			if synced := fsys.Counts()[faultfs.Sync] > syncs; synced == o.Lagging {
				t.Errorf("synced %t", synced)
			}
			if n := rows(t, db); n != 2 {
				t.Errorf("%d rows, want 2", n)
			}
		})
	}
}

// TestALaggingLogIsSyncedBeforeItsPagesLeaveIt: a power cut at any sync or write, checkpoints
// in between, leaves a database that is as it was after some commit.
func TestALaggingLogIsSyncedBeforeItsPagesLeaveIt(t *testing.T) {
	for crash := 1; ; crash++ {
		fsys, dir := faultfs.New(t), t.TempDir()
		db, err := Open(t.Context(), filepath.Join(dir, "x.db"), Options{VFS: fsys.Name, PageSize: 4 << 10, Lagging: true})
		if err != nil {
			t.Fatal(err)
		}
		exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB); INSERT INTO t SELECT 0, zeroblob(10); PRAGMA wal_checkpoint(TRUNCATE)`)
		var n atomic.Int64
		fsys.SetRule(func(op faultfs.Op) faultfs.Fault {
			if n.Add(1) == int64(crash) {
				return faultfs.Crash
			}
			return faultfs.Pass
		})
		for range 6 {
			if _, err := db.Writer.Exec(`INSERT INTO t (x) VALUES (randomblob(20000)); UPDATE t SET x = randomblob(length(x)) WHERE id = 1`); err != nil {
				break
			}
			if _, err := db.Writer.Exec(`PRAGMA wal_checkpoint(RESTART)`); err != nil {
				break
			}
		}
		crashed := fsys.Dead()
		random := rand.New(rand.NewPCG(uint64(crash), 1))
		after := t.TempDir()
		fsys.PowerOff(t, after, random)
		_ = db.Close()
		again, err := Open(t.Context(), filepath.Join(after, "x.db"), Options{Lagging: true})
		if err != nil {
			t.Fatalf("crash %d: %v", crash, err)
		}
		if n := rows(t, again); n < 1 {
			t.Errorf("crash %d: %d rows", crash, n)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if !crashed {
			break
		}
	}
}

// TestATransactionReadsWhatItGathered: pages that the cache had no room for lie in the log
// before the commit, and are read from there.
func TestATransactionReadsWhatItGathered(t *testing.T) {
	for name, o := range map[string]Options{"synced": {}, "lagging": {Lagging: true}} {
		t.Run(name, func(t *testing.T) {
			o.Cache = 64 << 10
			db := openTable(t, faultfs.New(t), o)
			tx, err := db.Writer.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := tx.Exec(many + `; SAVEPOINT s; ` + many + `; UPDATE t SET x = randomblob(2100); ROLLBACK TO s; UPDATE t SET x = randomblob(1900) WHERE id % 3 = 0`); err != nil {
				t.Fatal(err)
			}
			var sum int
			if err := tx.QueryRow(`SELECT sum(length(x)) FROM t`).Scan(&sum); err != nil || sum < 1000*1900 {
				t.Fatal(sum, err)
			}
			if n := rows(t, db); n != 1 {
				t.Errorf("others see %d rows before the commit, want 1", n)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if n := rows(t, db); n != 1001 {
				t.Errorf("%d rows, want 1001", n)
			}
		})
	}
}

// TestAWriteWithoutRoomTakesItsTransactionOnly: whichever write of a long transaction finds
// no room, what was there before stays, and what comes later is whole.
func TestAWriteWithoutRoomTakesItsTransactionOnly(t *testing.T) {
	for name, o := range map[string]Options{"synced": {}, "lagging": {Lagging: true}} {
		t.Run(name, func(t *testing.T) {
			refused := 0
			for at := int64(1); ; at++ {
				o.Cache = 64 << 10
				fsys := faultfs.New(t)
				db := openTable(t, fsys, o)
				onWAL(fsys, at)
				_, err := db.Writer.Exec(many)
				if err == nil {
					break
				}
				refused++
				if !errors.Is(err, sqlite3.FULL) {
					t.Fatalf("write %d: %v, want a full disk", at, err)
				}
				if n := rows(t, db); n != 1 {
					t.Fatalf("write %d: %d rows, want 1", at, n)
				}
				exec(t, db, `INSERT INTO t (x) VALUES (randomblob(20000))`)
				exec(t, db, many)
				if n := rows(t, db); n != 1002 {
					t.Fatalf("write %d: %d rows afterwards, want 1002", at, n)
				}
			}
			if refused < 3 {
				t.Errorf("only %d writes were refused", refused)
			}
		})
	}
}

// TestATransactionGoesOnWithoutTheStatementThatFoundNoRoom: a statement is undone alone
// where its transaction goes on, and what came before it is committed.
func TestATransactionGoesOnWithoutTheStatementThatFoundNoRoom(t *testing.T) {
	refused, wentOn := 0, 0
	for at := int64(1); ; at++ {
		fsys := faultfs.New(t)
		db := openTable(t, fsys, Options{Cache: 64 << 10})
		tx, err := db.Writer.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(many); err != nil {
			t.Fatal(err)
		}
		onWAL(fsys, at)
		// A statement that may fail halfway has a journal of its own.
		_, err = tx.Exec(`INSERT INTO t (id, x) SELECT -id, randomblob(2000) FROM t WHERE id > 0`)
		if err == nil {
			_ = tx.Rollback()
			break
		}
		refused++
		if !errors.Is(err, sqlite3.FULL) {
			t.Fatalf("write %d: %v, want a full disk", at, err)
		}
		if _, err := tx.Exec(`INSERT INTO t (x) VALUES (randomblob(20000))`); err != nil {
			t.Fatalf("write %d: %v", at, err)
		}
		want := 2 // SQLite undid the transaction
		if tx.Commit() == nil {
			want = 1002
			wentOn++
		}
		if n := rows(t, db); n != want {
			t.Fatalf("write %d: %d rows, want %d", at, n, want)
		}
		exec(t, db, many)
		if n := rows(t, db); n != want+1000 {
			t.Fatalf("write %d: %d rows afterwards, want %d", at, n, want+1000)
		}
	}
	if wentOn < 1 {
		t.Errorf("of %d transactions %d went on", refused, wentOn)
	}
}
