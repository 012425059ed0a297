package vault

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal/transit/vaulttest"
	"coffre/handlers/acting"
)

// proved runs a vault, appends events, and returns the checkpoint that covers all.
func proved(t *testing.T, dir DataDir, o Options, events int) proof.Checkpoint {
	t.Helper()
	v, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for range events {
		now := time.Now()
		if _, err := acting.Audits.Transact(t.Context(), v.Core.Log, eventstore.Write{Stream: acting.AuditStream(now)}, audit.Record{Event: audit.LogRead{At: now}}); err != nil {
			t.Fatal(err)
		}
	}
	end, err := v.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	note, err := v.publisher.Await(ctx, int64(end.Commit)-1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.publisher.Verify(t.Context(), note)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// copied copies a directory that nobody owns.
func copied(t *testing.T, from DataDir) DataDir {
	t.Helper()
	to := DataDir(filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(string(to), os.DirFS(string(from))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", KEKFile, DevKeyFile} { // CopyFS opens them to others
		info, err := os.Stat(from.File(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // keys lie in Vault
		}
		if err == nil {
			err = os.Chmod(to.File(name), info.Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// Everything of a vault as it was yesterday is not served where the last checkpoint lies
// elsewhere, not even after others grew upon it; the way on is to accept the loss, which
// begins another origin.
func TestYesterdaysVaultIsNotServed(t *testing.T) {
	for name, at := range map[string]func(t *testing.T) (string, *TransitConfig){
		"file": func(t *testing.T) (string, *TransitConfig) { return "file:" + filepath.Join(t.TempDir(), "last"), nil },
		"postgres-other": func(t *testing.T) (string, *TransitConfig) {
			return "postgres-other:" + pgtest.Shared(t).Database(t), nil
		},
		"vault-kv": func(t *testing.T) (string, *TransitConfig) {
			s := vaulttest.Shared(t)
			s.MountCheckpoints(t)
			login := s.Login(t, vaulttest.Application)
			return "vault-kv:" + vaulttest.CheckpointsMount + "/north", &TransitConfig{
				Address: s.Address, CAFile: s.CAFile, Timeout: 20 * time.Second, Application: TransitLogin{Role: login.RoleID, SecretIDFile: login.SecretIDFile},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			place, keys := at(t)
			o := Options{Checkpoints: CheckpointsConfig{At: place, Every: 100 * time.Millisecond}, Transit: keys}
			dir := DataDir(t.TempDir())
			proved(t, dir, o, 3)
			yesterday, grown := copied(t, dir), copied(t, dir)
			last := proved(t, dir, o, 2)

			_, err := Open(t.Context(), yesterday, o)
			if !errors.Is(err, ErrOlderLog) || !strings.Contains(err.Error(), "the last checkpoint of 2") || !strings.Contains(err.Error(), "--accept-loss") {
				t.Fatalf("yesterday's vault opens: %v", err)
			}
			proved(t, grown, Options{Checkpoints: CheckpointsConfig{At: "file:" + filepath.Join(t.TempDir(), "other"), Every: 100 * time.Millisecond}, Transit: keys}, 9)
			if _, err := Open(t.Context(), grown, o); err == nil || !strings.Contains(err.Error(), "is another than that of its last checkpoint") {
				t.Fatalf("a vault that grew upon yesterday's opens: %v", err)
			}

			if _, err := AcceptLoss(t.Context(), yesterday, o, func(found Loss) (string, audit.LossCause, error) {
				if !strings.HasPrefix(found.Witness, "the last checkpoint") {
					t.Errorf("the witness is %s", found.Witness)
				}
				return "somebody", audit.MediumLost, nil
			}); err != nil {
				t.Fatal(err)
			}
			if now := proved(t, yesterday, o, 1); now.Origin != last.Origin+"/1" {
				t.Errorf("goes on as %s after %s", now.Origin, last.Origin)
			}
		})
	}
}

// A vault from before there were checkpoints gets its tree and its first one at the next
// start, and a start after that changes neither.
func TestAVaultGetsItsTree(t *testing.T) {
	dir := DataDir(t.TempDir())
	first := proved(t, dir, Options{}, 1)
	if err := os.Remove(dir.File(checkpointFile)); err != nil {
		t.Fatal(err)
	}
	models, err := filepath.Glob(dir.File(filepath.Join("readmodels", "transparency*")))
	if err != nil || len(models) == 0 {
		t.Fatalf("%v, %v", models, err)
	}
	for _, m := range models {
		if err := os.RemoveAll(m); err != nil {
			t.Fatal(err)
		}
	}
	again := proved(t, dir, Options{}, 1)
	if again.Origin != first.Origin || again.Size <= first.Size {
		t.Fatalf("%v after %v", again, first)
	}
	note, err := checkpoints.InFile(dir.File(checkpointFile)).Last(t.Context())
	if c, peekErr := proof.Peek(note); err != nil || peekErr != nil || c != again {
		t.Fatalf("the file holds %v, %v, %v", c, err, peekErr)
	}
}

// The place of the last checkpoint must not be a database that a restore takes back.
func TestCheckpointsLieElsewhere(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	_, err := Open(t.Context(), DataDir(t.TempDir()), Options{Stores: StoresConfig{Log: at}, Checkpoints: CheckpointsConfig{At: "postgres-other:" + at}})
	if !errors.Is(err, errSamePlace) {
		t.Fatal(err)
	}
}

// A place in Vault without a Vault is told before anything is served.
func TestCheckpointsInVaultNeedOne(t *testing.T) {
	if _, err := Open(t.Context(), DataDir(t.TempDir()), Options{Checkpoints: CheckpointsConfig{At: "vault-kv:checkpoints/north"}}); !errors.Is(err, errNoVault) {
		t.Fatal(err)
	}
}

func TestReadCheckpoints(t *testing.T) {
	for _, good := range [][3]string{{}, {"file:/x"}, {"vault-kv:checkpoints/north"}, {"postgres-other:postgres://a@b/c", "250ms", "10"}} {
		if _, err := ReadCheckpoints(good[0], good[1], good[2]); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][3]string{{"file:"}, {"/x"}, {"vault-kv:"}, {"vault-kv:north"}, {"vault-kv:a/b c"}, {"postgres-other:/x"}, {"postgres://a@b/c"}, {"", "1"}, {"", "1ns"}, {"", "2h"}, {"", "", "0"}, {"", "", "1e3"}} {
		if _, err := ReadCheckpoints(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A process that stops in good order leaves no event behind that no checkpoint covers.
func TestLastEventsAreSignedBeforeAProcessStops(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		now := time.Now()
		if _, err := acting.Audits.Transact(t.Context(), v.Core.Log, eventstore.Write{Stream: acting.AuditStream(now)}, audit.Record{Event: audit.LogRead{At: now}}); err != nil {
			t.Fatal(err)
		}
	}
	v.SignEnd(t.Context())
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := OpenAuditSource(t.Context(), dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	note, err := left.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := proof.Peek(note)
	if err != nil || c.Size < 6 {
		t.Fatalf("%d events are covered, %v", c.Size, err)
	}
	for e, err := range left.EventsFrom(t.Context(), c.Size) {
		t.Errorf("leaf %d is covered by no checkpoint (%v)", e.Leaf, err)
	}
}

// A damaged file with the last checkpoint stops the start with a sentence that says what to do,
// and doing it helps.
func TestDamagedLastCheckpointSaysWhatToDo(t *testing.T) {
	dir := DataDir(t.TempDir())
	open := func() error {
		v, err := Open(t.Context(), dir, Options{})
		if err != nil {
			return err
		}
		v.SignEnd(t.Context())
		return v.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir.File(checkpointFile), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "outside the databases") || !strings.Contains(err.Error(), "Put back a copy") {
		t.Fatal(err)
	}
	if err := os.Remove(dir.File(checkpointFile)); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Error(err)
	}
}
