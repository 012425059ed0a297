package keysdb

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/faulty/faultfs"
	"coffre/eventstore/sqlite/sqlitedb"
)

// TestReservedChangesHaveTheReserve fills the disk: what must pass takes the reserve, also
// in a batch with what need not, and everything goes on when there is room again.
func TestReservedChangesHaveTheReserve(t *testing.T) {
	fsys, held := faultfs.New(t), filepath.Join(t.TempDir(), "reserve")
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{VFS: fsys.Name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), "test", []string{`CREATE TABLE t (x INTEGER NOT NULL UNIQUE)`}); err != nil {
		t.Fatal(err)
	}
	reserve := sqlitedb.NewReserve(held, 4096)
	db.UseReserve(reserve)
	isHeld := func() bool { _, err := os.Stat(held); return err == nil }
	var full atomic.Bool
	fsys.SetRule(func(op faultfs.Op) faultfs.Fault {
		if full.Load() && isHeld() && op.Change == faultfs.Write {
			return faultfs.Full
		}
		return faultfs.Pass
	})
	insert := func(class eventstore.Class, x int) error {
		_, err := DoAs(t.Context(), db, class, func(tx *Tx) (int64, error) { return tx.Exec(`INSERT INTO t (x) VALUES (?)`, x) })
		return err
	}
	if err := insert(eventstore.Ordinary, 1); err != nil || !reserve.Hold() {
		t.Fatal(err)
	}
	full.Store(true)
	if err := insert(eventstore.Ordinary, 2); !errors.Is(err, eventstore.ErrDiskFull) || !isHeld() {
		t.Fatalf("what need not pass: %v, the reserve is there: %t", err, isHeld())
	}
	if err := insert(eventstore.Reserved, 3); err != nil || isHeld() {
		t.Fatalf("what must pass: %v, the reserve is there: %t", err, isHeld())
	}
	if !reserve.Hold() {
		t.Fatal("the reserve is not taken back")
	}
	running, gate := make(chan struct{}), make(chan struct{})
	if err := db.Post(func(*Tx) error { close(running); <-gate; return nil }); err != nil {
		t.Fatal(err)
	}
	<-running
	answers := make(chan error, 2)
	for i, class := range []eventstore.Class{eventstore.Ordinary, eventstore.Reserved} {
		go func() { answers <- insert(class, 4+i) }()
		for queued := 0; queued <= i; runtime.Gosched() {
			db.mu.Lock()
			queued = len(db.queue)
			db.mu.Unlock()
		}
	}
	close(gate)
	one, other := <-answers, <-answers
	if one == nil {
		one, other = other, one
	}
	if !errors.Is(one, eventstore.ErrDiskFull) || other != nil {
		t.Errorf("of one batch: %v, %v", one, other)
	}
	full.Store(false)
	if err := insert(eventstore.Ordinary, 6); err != nil {
		t.Errorf("with room again: %v", err)
	}
	var rows int
	if s, err := db.Read(`SELECT count(*) FROM t`); err != nil || s.Get(&rows) != nil || rows != 4 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
