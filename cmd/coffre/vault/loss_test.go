package vault

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/memory"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storetest"
	"coffre/handlers/acting"
)

func openVault(t *testing.T, dir DataDir) *Instance {
	t.Helper()
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func closeVault(t *testing.T, v *Instance) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// losses returns the losses on record.
func losses(t *testing.T, v *Instance) (all []audit.LossAccepted) {
	t.Helper()
	for e, err := range v.Core.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if l, ok := e.Data.(audit.LossAccepted); ok {
			all = append(all, l)
		}
	}
	return all
}

// An acceptance that was interrupted right after it was given is brought to its end by the
// next start, and is on record once.
func TestAnInterruptedAcceptanceGoesOn(t *testing.T) {
	dir := DataDir(t.TempDir())
	v := openVault(t, dir)
	end, err := v.Core.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeVault(t, v)
	older, err := os.ReadFile(dir.File(sqlite.FileName))
	if err != nil {
		t.Fatal(err)
	}
	v = openVault(t, dir)
	var seen eventstore.Position
	for range 3 {
		now := time.Now()
		done, err := acting.Audits.Transact(t.Context(), v.Core.Log, eventstore.Write{Stream: acting.AuditStream(now)}, audit.Record{Event: audit.LogRead{At: now}})
		if err != nil {
			t.Fatal(err)
		}
		seen = done.Position
	}
	closeVault(t, v)
	if err := os.WriteFile(dir.File(sqlite.FileName), older, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, ErrOlderLog) {
		t.Fatal(err)
	}
	db := ringtest.OpenDB(t, string(dir))
	accepted := loss{id: uuid.New(), cut: cut{kind: audit.KeyRing, end: end, seen: seen}, cause: audit.Unreadable, subject: "somebody", at: time.Now().UTC().Truncate(time.Microsecond)}
	if err := errors.Join(accepted.keep(t.Context(), db), db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once it is done nothing is left to do
		v = openVault(t, dir)
		all := losses(t, v)
		want := audit.LossAccepted{LogEnd: placeName(end), SeenEnd: placeName(seen), Events: 3, Witness: audit.KeyRing, Cause: audit.Unreadable, At: accepted.at}
		if len(all) != 1 || all[0] != want {
			t.Errorf("%+v are on record, want %+v", all, want)
		}
		closeVault(t, v)
	}
}

// A log that ends before what the process itself has seen of it ends the process: a
// failover took it back.
func TestALogThatGoesBackEndsTheProcess(t *testing.T) {
	db := ringtest.OpenDB(t, t.TempDir())
	if _, err := seenEnd(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	log := memory.New()
	done, err := log.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.Any, Records: storetest.Records(2)})
	if err != nil {
		t.Fatal(err)
	}
	var end logEnd
	end.reached(done.Position)
	ctx, cancel := context.WithCancel(t.Context())
	marked := make(chan eventstore.Position, 1)
	go func() { <-marked; cancel() }()
	if err := end.follow(ctx, log, db, func(p eventstore.Position) { marked <- p }); err != nil {
		t.Errorf("a log that did not go back: %v", err)
	}
	end.reached(eventstore.Position{Commit: done.Position.Commit + 1, Prepare: done.Position.Prepare + 1})
	if err := end.follow(t.Context(), log, db, nil); !errors.Is(err, ErrOlderLog) {
		t.Errorf("a log that went back: %v", err)
	}
}
