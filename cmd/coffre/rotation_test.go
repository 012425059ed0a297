package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/contract"
)

// busy has documents of new citizens issued and read until stop is called, which
// returns how many were. Whatever goes on meanwhile, each answer is a success.
func (r *rig) busy(t *testing.T) (stop func() int) {
	var people, done atomic.Int64
	ended := make(chan struct{})
	var workers sync.WaitGroup
	bearer := r.bearer(t, attestor)
	do := func(method, path, body string, into any) bool {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Idempotency-Key", uuid.NewString())
		}
		w := r.ask(req, bearer)
		if w.Code >= 300 {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
			return false
		}
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Error(err)
			return false
		}
		return true
	}
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				ssin := ringtest.SSIN(int(people.Add(1))).Reveal()
				var issued struct{ DocumentID string }
				var shown struct {
					Content map[string]any
				}
				if !do(http.MethodPost, contract.Base+"/documents", identity(ssin, "load"), &issued) ||
					!do(http.MethodPost, contract.Base+"/documents", identity(ssin, "again"), &issued) ||
					!do(http.MethodGet, contract.Base+"/documents/"+issued.DocumentID, "", &shown) {
					return
				}
				if shown.Content["birthdate"] != "1971-02-25" {
					t.Error("what was issued does not come back")
				}
				done.Add(1)
			}
		})
	}
	return func() int {
		close(ended)
		workers.Wait()
		return int(done.Load())
	}
}

// until asks for the state of the keys until it is as wished.
func (r *rig) until(t *testing.T, wished func(contract.KeyState) bool) {
	t.Helper()
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		var s contract.KeyState
		if err := json.Unmarshal(r.get(t, asOperator, "/keys").Body.Bytes(), &s); err != nil {
			return false, time.Time{}, err
		}
		return wished(s), time.Time{}, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// While both keys are replaced, to the end, no request fails.
func TestRotationUnderLoad(t *testing.T) {
	r := newRig(t)
	stop := r.busy(t)
	for version := 2; version <= 4; version++ {
		r.post(t, asOperator, "/keys/rotate", "", nil)
		r.until(t, func(s contract.KeyState) bool {
			return s.Rotation.State == contract.TaskStateDone && s.NextStep == contract.RotationStepBackUp
		})
		ringtest.NoteBackup(t, r.Ring.Ledger(), time.Now(), version)
		r.post(t, asOperator, "/keys/retire", "", nil)
		r.post(t, asOperator, "/keys/trim", "", nil)
		r.post(t, asOperator, "/keys/rotatePepper", "", nil)
		r.until(t, func(s contract.KeyState) bool {
			return s.Pepper.Rotation.State == contract.TaskStateDone && s.Pepper.Phase == contract.PepperPhaseSettled
		})
	}
	if n := stop(); n == 0 {
		t.Error("nothing was done meanwhile")
	}
	r.until(t, func(s contract.KeyState) bool {
		if s.NextStep != contract.RotationStepRotate || s.Pepper.Version != 4 || !s.KeyEncryptionKeys[len(s.KeyEncryptionKeys)-1].Current {
			t.Errorf("%+v", s)
		}
		return true
	})
}

// An operator's year: rotate, back up and verify, retire, trim; everything opens.
func TestRotationByHand(t *testing.T) {
	dir := t.TempDir()
	r := rigOn(t, vault.DataDir(dir))
	var issued struct{ DocumentID string }
	if err := json.Unmarshal(r.issue(t, uuid.New(), ssinA, "a").Body.Bytes(), &issued); err != nil {
		t.Fatal(err)
	}
	r.close(t)
	id, key := ageKey(t)
	s := &shell{t: t}
	backUp := func(name string) {
		t.Helper()
		s.must(0, "backup", "--data", dir, "--out", filepath.Join(t.TempDir(), name), "--recipient", id.Recipient().String(), "--verify", "--identity-file", key)
	}
	backUp("early.age") // needs what would be destroyed
	s.must(0, "keys", "rotate", "--data", dir)
	if got := s.must(exitFailed, "keys", "retire", "--data", dir); !strings.Contains(got.err, "restored for a test") {
		t.Error(got.err)
	}
	backUp("late.age")
	if got := s.must(exitFailed, "keys", "trim", "--data", dir, "--yes"); !strings.Contains(got.err, "retire has to come first") {
		t.Error(got.err)
	}
	s.must(0, "keys", "retire", "--data", dir)
	s.must(0, "keys", "trim", "--data", dir, "--yes")
	s.must(0, "keys", "rotate", "--data", dir, "--pepper")
	if got := s.must(0, "keys", "status", "--data", dir).out; !strings.Contains(got, "version 2, settled") || !strings.Contains(got, "none; rotate begins") {
		t.Error(got)
	}
	r = rigOn(t, vault.DataDir(dir))
	defer r.close(t)
	r.get(t, attestor, "/documents/"+issued.DocumentID)
	if w := r.issue(t, uuid.New(), ssinA, "a"); w.Code != http.StatusOK {
		t.Errorf("the same document again: %d %s", w.Code, w.Body)
	}
}

// The same where the database's own tools make the backups: the operator answers for
// one, and only for one that was taken late enough.
func TestRotationByHandOnPostgreSQL(t *testing.T) {
	dir := t.TempDir()
	database := vault.StoresConfig{Log: pgtest.Shared(t).Database(t)}
	s := &shell{t: t, adapt: func(p *program) {
		p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) {
			return vault.Open(ctx, dir, vault.Options{Stores: database})
		}
	}}
	report := func(taken time.Time, digit string) []string {
		return []string{"backup", "report", "--data", dir, "--taken", taken.Format(time.RFC3339Nano), "--sha256", strings.Repeat(digit, 64)}
	}
	s.must(0, "keys", "status", "--data", dir) // there is a vault
	early := time.Now()
	s.must(0, "keys", "rotate", "--data", dir)
	s.must(0, append(report(early, "a"), "--yes")...)
	if got := s.must(exitFailed, "keys", "retire", "--data", dir); !strings.Contains(got.err, "restored for a test") {
		t.Error(got.err)
	}
	late := time.Now()
	if got := s.must(exitUsage, report(late, "b")...); !strings.Contains(got.err, "--yes") {
		t.Error(got.err)
	}
	s.must(exitUsage, append(report(late, "x"), "--yes")...)
	s.must(exitFailed, append(report(late.Add(time.Hour), "B"), "--yes")...)
	var noted contract.BackupNote
	if err := json.Unmarshal([]byte(s.must(0, append(report(late, "B"), "--yes", "--json")...).out), &noted); err != nil {
		t.Fatal(err)
	}
	if noted.OldestKeyVersion != 2 || noted.Sha256 != strings.Repeat("b", 64) || noted.VerifiedAt.Before(noted.TakenAt) {
		t.Errorf("%+v", noted)
	}
	s.must(0, "keys", "retire", "--data", dir)
	s.must(0, "keys", "trim", "--data", dir, "--yes")
	if got := s.must(0, "keys", "status", "--data", dir).out; !strings.Contains(got, "none; rotate begins") {
		t.Error(got)
	}
}

// A vault that knows which of its backups are good takes nobody's word.
func TestBackupReportIsForOtherTools(t *testing.T) {
	got := (&shell{t: t}).must(exitFailed, "backup", "report", "--data", t.TempDir(), "--taken", "2026-03-01T02:00:00Z", "--sha256", strings.Repeat("a", 64), "--yes")
	if !strings.Contains(got.err, "coffre backup verify") {
		t.Error(got.err)
	}
}
