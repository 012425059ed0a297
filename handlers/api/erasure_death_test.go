package api

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// E-3: an erasure whose process ends at any change of the database of keys, and so between
// any two steps, is resumed by the next process: nothing opens, the log is unchanged, there
// is one record and one certificate.
func TestErasureResumesAfterCrashAtAnyKeyChange(t *testing.T) {
	for _, scope := range []contract.ErasureScope{contract.ErasureScopeCitizen, contract.ErasureScopeDocument} {
		t.Run(string(scope), func(t *testing.T) {
			every := 5 // so many calls lie between two deaths
			if os.Getenv("COFFRE_SOAK") == "1" {
				every = 1
			}
			n := 0
			for died := true; died && !t.Failed(); n += every {
				t.Run(strconv.Itoa(n), func(t *testing.T) { died = dieAt(t, scope, n) })
			}
			if n < 30 {
				t.Errorf("E-3 only %d calls: this proves little", n)
			}
			t.Logf("died at one call in %d, of %d", every, n)
		})
	}
}

// dieAt has the database of keys err from its n-th change on, as if the process were
// dead, and reports whether the erasure came so far.
func dieAt(t *testing.T, scope contract.ErasureScope, n int) (died bool) {
	t.Helper()
	medium, dir := ringtest.NewMedium(t), t.TempDir()
	open := func() *keysdb.DB {
		t.Helper()
		db, err := keysdb.Open(t.Context(), filepath.Join(dir, "keys.db"), sqlitedb.Options{VFS: medium.Name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() }) // a dead one errs
		return db
	}
	tv := newVaultOn(t, dir, open())
	heard := tv.captureLog()
	doc := tv.household(t, 1)
	ana := tv.person(t, 1)
	tv.household(t, 2)
	tv.waitIdle(t)
	one := domain.DocumentID{}
	if scope == contract.ErasureScopeDocument {
		one = doc
	}
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, one)
	if err != nil {
		t.Fatal(err)
	}
	tv.stop() // so that the destroyer waits for its death
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	before, sealed := hashes(tv.log(t)), tv.sealedRecordsOf(t, ana)
	medium.BreakAfter(n)
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		if c.Method == faulty.Append && medium.Broken() {
			return faulty.Fault{Before: eventstore.ErrUnavailable} // the dead append nothing
		}
		return faulty.Fault{}
	})
	tv.restart()
	tv.workUntilFault(t, heard)
	died = medium.Broken()
	tv.stop()
	medium.BreakAfter(-1)
	tv.Store.SetRule(nil)

	tv.restartOn(t, open())
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Fatalf("E-3 dead at call %d: it is %s", n, state)
	}
	if after := hashes(tv.log(t)); len(after) < len(before) || !slices.Equal(after[:len(before)], before) {
		t.Errorf("E-3 dead at call %d: the log changed", n)
	}
	for _, r := range sealed {
		if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("E-3 dead at call %d: %s opens, or: %v", n, r.Type, err)
		}
	}
	if n := tv.exposedStreams(t); n != 0 {
		t.Errorf("E-3 dead at call %d: the document's key lies in old copies under a data key that lives", n)
	}
	for _, r := range tv.sealedRecordsOf(t, tv.person(t, 2)) {
		if err := tv.open(t, r); err != nil {
			t.Errorf("E-3 dead at call %d: %s of somebody else: %v", n, r.Type, err)
		}
	}
	if scope == contract.ErasureScopeCitizen && len(recorded[citizen.KeyDestroyed](t, tv)) != 1 || scope == contract.ErasureScopeDocument && len(recorded[citizen.ErasureCompleted](t, tv)) != 1 {
		t.Errorf("E-3 dead at call %d: not recorded once", n)
	}
	citizensGone, streamsGone, err := tv.Settings.Work.Shreds.Read()
	if err != nil || len(citizensGone)+len(streamsGone) == 0 {
		t.Errorf("E-3 dead at call %d: not on the shred list, %v", n, err)
	}
	c, served := tv.certificateOf(t, id)
	if c.UnreadableEvents != int64(len(sealed)) || !bytes.Equal(c.Digest, digestOf(sealed)) {
		t.Errorf("E-3 dead at call %d: %d events, want %d", n, c.UnreadableEvents, len(sealed))
	}
	verifiesOffline(t, tv, c, served)
	return died
}

// exposedStreams counts the destroyed content keys whose citizen still has the data key of
// then.
func (tv *testVault) exposedStreams(t testing.TB) (n int) {
	t.Helper()
	s, err := tv.KeysDB.Read(`SELECT count(*) FROM exposed_streams`)
	if err == nil {
		err = s.Get(&n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// E-3: a content key that a start destroyed again, or an older program destroyed, does not
// stay under a data key that lives: the start replaces that.
func TestStartReplacesDataKeys(t *testing.T) {
	tv := newVault(t)
	doc := tv.household(t, 1)
	tv.household(t, 2)
	tv.waitIdle(t)
	tv.stop()
	if err := tv.Settings.Work.Destroyer.DestroyStreamKeys(t.Context(), acting.DocumentStream(doc)); err != nil {
		t.Fatal(err)
	}
	if n := tv.exposedStreams(t); n != 1 {
		t.Fatalf("%d content keys are exposed: this shows nothing", n)
	}
	tv.restart()
	tv.waitIdle(t)
	if n := tv.exposedStreams(t); n != 0 {
		t.Errorf("E-3 %d content keys are still exposed after a start", n)
	}
}
