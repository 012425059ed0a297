package vault

import (
	"testing"
	"time"

	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/acting"
)

// nothing is a change of the key ring that changes nothing by itself.
func nothing(t *testing.T, db *keysdb.DB) {
	t.Helper()
	if _, err := keysdb.Do(t.Context(), db, func(*keysdb.Tx) (int, error) { return 0, nil }); err != nil {
		t.Fatal(err)
	}
}

// Whatever is written to the key ring carries the end of the log that was acknowledged
// before, and no end ever moves back.
func TestEveryKeyWriteKeepsTheEndOfTheLog(t *testing.T) {
	db := ringtest.OpenDB(t, t.TempDir())
	want := func(end eventstore.Position) {
		t.Helper()
		nothing(t, db)
		if got, err := seenEnd(t.Context(), db); err != nil || got != end {
			t.Errorf("kept %v, %v, want %v", got, err, end)
		}
	}
	if _, err := seenEnd(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	var end logEnd
	db.Accompany(end.keep)
	want(eventstore.Position{})
	for _, p := range []eventstore.Position{{Commit: 7, Prepare: 5}, {Commit: 7, Prepare: 6}, {Commit: 8, Prepare: 1}} {
		end.reached(p)
		want(p)
		end.reached(eventstore.Position{Commit: 3, Prepare: 9})
		want(p)
	}
	var another logEnd // of another process
	db.Accompany(another.keep)
	another.reached(eventstore.Position{Commit: 8})
	want(eventstore.Position{Commit: 8, Prepare: 1})
}

// A vault that serves lets the end accompany its key ring: also the second of two events
// that follow each other at once is in the mark of the change after it.
func TestAServedVaultKeepsTheEndWithEveryKeyWrite(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	db := ringtest.OpenDB(t, string(dir)) // another connection to the ring, to look at it
	for n := range 3 {
		now := time.Now()
		done, err := acting.Audits.Transact(t.Context(), v.Core.Log, eventstore.Write{Stream: acting.AuditStream(now)}, audit.Record{Event: audit.LogRead{At: now}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.Ring.Enroll(t.Context(), ringtest.SSIN(n)); err != nil {
			t.Fatal(err)
		}
		if kept, err := seenEnd(t.Context(), db); err != nil || kept.Compare(done.Position) < 0 {
			t.Errorf("kept %v, %v, and %v was acknowledged before the key", kept, err, done.Position)
		}
	}
}
