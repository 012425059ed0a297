package main

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/cmd/coffre/bench"
	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// withdrawal is a vault whose only consent was withdrawn after a copy of its log was
// taken.
type withdrawal struct {
	dir      vault.DataDir
	o        vault.Options
	document string
	consent  string
	before   map[string][]byte // the files of the log from before, by suffix
}

// open starts the vault and waits for its read models.
func (w *withdrawal) open(t *testing.T) *rig {
	t.Helper()
	r := w.start(t)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *withdrawal) start(t *testing.T) *rig {
	t.Helper()
	v, err := vault.Open(t.Context(), w.dir, w.o)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.OpenDevKey(w.dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Instance: v, dir: w.dir, key: key}
}

// access is how the consumer's request under the consent is answered.
func (w *withdrawal) access(t *testing.T, r *rig) int {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, contract.Base+"/documents/"+w.document+"/access", strings.NewReader(`{"purpose":"familyDiscount","consentId":"`+w.consent+`"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	return r.ask(req, r.bearer(t, drillConsumer)).Code
}

// grant issues a document and has its citizen consent that a consumer reads it.
func (w *withdrawal) grant(t *testing.T, r *rig) token.Grant {
	t.Helper()
	var doc struct{ DocumentID string }
	r.post(t, drillIssuer, "/documents", issueTo(1, "older").body, &doc)
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, bench.SSIN(1).Reveal()))
	var given struct{ ConsentID string }
	r.post(t, me, "/consents", `{"consumer":"`+string(railways)+`","purpose":"familyDiscount","documentTypes":["householdComposition"],"shownText":{"text":"`+discountText()+`","language":"en","version":"1"}}`, &given)
	w.document, w.consent = doc.DocumentID, given.ConsentID
	return me
}

// newWithdrawal grants, copies, withdraws and closes.
func newWithdrawal(t *testing.T, o vault.Options) *withdrawal {
	t.Helper()
	w := &withdrawal{dir: vault.DataDir(t.TempDir()), o: o}
	r := w.open(t)
	me := w.grant(t, r)
	if code := w.access(t, r); code != http.StatusOK {
		t.Fatalf("under the consent: %d", code)
	}
	if o.Stores.Log == "" {
		w.before = logFiles(t, w.dir)
	}
	r.post(t, me, "/consents/"+w.consent+"/withdraw", "", nil)
	if code := w.access(t, r); code != http.StatusForbidden {
		t.Fatalf("after the withdrawal: %d", code)
	}
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.close(t)
	return w
}

var logSuffixes = []string{"", "-wal", "-shm"}

func logFiles(t *testing.T, dir vault.DataDir) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, suffix := range logSuffixes[:2] {
		if b, err := os.ReadFile(dir.File(sqlite.FileName) + suffix); err == nil {
			all[suffix] = b
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return all
}

func putLog(t *testing.T, dir vault.DataDir, all map[string][]byte) {
	t.Helper()
	for _, suffix := range logSuffixes {
		path := dir.File(sqlite.FileName) + suffix
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if b, there := all[suffix]; there {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// inFile runs statements on a database of the directory.
func (w *withdrawal) inFile(t *testing.T, name string, statements string) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), w.dir.File(name), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Writer.ExecContext(t.Context(), statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// refused starts a server, which has to refuse the log and say what knows of more.
func (w *withdrawal) refused(t *testing.T, witness string) {
	t.Helper()
	_, err := vault.Open(t.Context(), w.dir, w.o)
	if !errors.Is(err, vault.ErrOlderLog) || !strings.Contains(err.Error(), witness) {
		t.Errorf("a log that is older than %s: %v", witness, err)
	}
}

// A withdrawn consent stays withdrawn when an older log is put back (C-4): nothing is
// served, by no command, and the newer log is all that is needed to go on.
func TestAnOlderLogPutBackIsRefused(t *testing.T) {
	w := newWithdrawal(t, vault.Options{})
	newer := logFiles(t, w.dir)
	putLog(t, w.dir, w.before)
	sh := &shell{t: t}
	for _, command := range [][]string{
		{"projections", "status", "--data", string(w.dir)}, // before the one that would not end
		{"serve", "--dev", "--listen", "127.0.0.1:0", "--data", string(w.dir)},
		{"store", "copy", "--from-data", string(w.dir), "--to", "sqlite:" + filepath.Join(t.TempDir(), "copy")},
	} {
		got := sh.must(exitTamper, command...)
		for _, want := range []string{"the log is older than what lies beside it: it ends at position ", " has seen position ", "put the newer log back, or restore a backup", "coffre restore --accept-loss"} {
			if !strings.Contains(got.err, want) {
				t.Errorf("coffre %s says %q, without %q", strings.Join(command, " "), got.err, want)
			}
		}
	}
	putLog(t, w.dir, nil) // the same when there is none
	sh.must(exitTamper, "projections", "status", "--data", string(w.dir))
	putLog(t, w.dir, newer)
	r := w.open(t)
	if code := w.access(t, r); code != http.StatusForbidden {
		t.Errorf("with the newer log: %d", code)
	}
	r.close(t)
}

// Each of those that know how far the log reached refuses an older one alone.
func TestEachWitnessRefusesAnOlderLog(t *testing.T) {
	forget := map[string]func(*testing.T, *withdrawal){
		"the key ring": func(t *testing.T, w *withdrawal) {
			w.inFile(t, vault.KeysFile, `DELETE FROM guard; DELETE FROM log_end`)
		},
		"the read model": func(t *testing.T, w *withdrawal) {
			if err := os.RemoveAll(w.dir.File("readmodels")); err != nil {
				t.Fatal(err)
			}
		},
		"the reactor": func(t *testing.T, w *withdrawal) {
			w.inFile(t, vault.ReactorsFile, `DELETE FROM reactor_positions`)
		},
	}
	for alone := range forget {
		t.Run(alone, func(t *testing.T) {
			// A checkpoint of the newer log would refuse the older one before these are asked.
			w := newWithdrawal(t, vault.Options{Checkpoints: vault.CheckpointsConfig{Every: time.Hour}})
			putLog(t, w.dir, w.before)
			if alone == "the reactor" { // it may not have come so far before the end
				w.inFile(t, vault.ReactorsFile, `UPDATE reactor_positions SET log_commit = 1000, log_prepare = 1000`)
			}
			for name, forgets := range forget {
				if name != alone {
					forgets(t, w)
				}
			}
			w.refused(t, alone)
			w.refused(t, alone) // refusing has changed nothing
			forget[alone](t, w)
			r := w.open(t) // nothing knows of it any more
			r.close(t)
		})
	}
}

// The same where the databases are in a PostgreSQL: what was deleted there, or lost in a
// failover, is missed by the next start.
func TestAnOlderLogInPostgreSQLIsRefused(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	w := newWithdrawal(t, vault.Options{Stores: vault.StoresConfig{Log: dsn}})
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	exec := func(statements string) {
		t.Helper()
		if _, err := super.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	w.open(t).close(t) // no false alarm
	exec(`SET search_path = eventlog; ALTER TABLE events DISABLE TRIGGER events_are_never_changed;
		DELETE FROM events WHERE position >= (SELECT max(position) FROM events WHERE type = 'consent.withdrawn/1');
		ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed`)
	w.refused(t, " has seen position ")
	exec(`DELETE FROM coffre_models.live; DELETE FROM coffre_reactors.reactor_positions`)
	w.refused(t, "the key ring")
	// A failover takes all that lies in the database back together; the directories of the
	// processes remember.
	exec(`DELETE FROM coffre_keys.guard; DELETE FROM coffre_keys.log_end`)
	w.refused(t, "this process in "+string(w.dir))
	other := &withdrawal{dir: vault.DataDir(t.TempDir()), o: w.o}
	for _, name := range []string{vault.KEKFile, vault.DevKeyFile, "log.end"} {
		if err := files.Copy(other.dir.File(name), w.dir.File(name)); err != nil {
			t.Fatal(err)
		}
	}
	var shown vault.Loss
	done, err := vault.AcceptLoss(t.Context(), w.dir, w.o, func(found vault.Loss) (string, audit.LossCause, error) {
		shown = found
		return "ann", audit.Failover, nil
	})
	if err != nil || shown.Events < 1 || done.Events != shown.Events || done.Last.IsZero() {
		t.Fatalf("%+v, %+v, %v", shown, done, err)
	}
	r := w.open(t)
	if _, err := vault.AcceptLoss(t.Context(), other.dir, w.o, nil); !errors.Is(err, vault.ErrOthersRun) {
		t.Errorf("beside a process that serves: %v", err)
	}
	if e, _ := r.acceptedLoss(t); e.Witness != audit.DataDirectory || e.Cause != audit.Failover {
		t.Errorf("%+v", e)
	}
	r.close(t)
	other.open(t).close(t) // it remembers the same end, whose loss was accepted
}

// acceptedLoss returns the one event of an accepted loss.
func (r *rig) acceptedLoss(t *testing.T) (found audit.LossAccepted, who domain.Actor) {
	t.Helper()
	n := 0
	for e, err := range r.Core.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if loss, ok := e.Data.(audit.LossAccepted); ok {
			n++
			found = loss
			meta, err := e.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			who = meta.Actor
		}
	}
	if n != 1 {
		t.Fatalf("%d losses are on record", n)
	}
	return found, who
}

// What was lost with the log is accepted on purpose only, by somebody and for a reason,
// on record; what was forgotten stays forgotten, and what was answered and is lost is not
// believed when it is asked again.
func TestAcceptedLossIsOnRecordAndForgetsNothingErased(t *testing.T) {
	w := newWithdrawal(t, vault.Options{})
	r := w.open(t)
	later := uuid.New()
	issue := func(r *rig) *httptest.ResponseRecorder { return r.issue(t, later, bench.SSIN(3).Reveal(), "later") }
	first := issue(r)
	if first.Code != http.StatusCreated {
		t.Fatal(first.Code, first.Body)
	}
	r.post(t, drillIssuer, "/documents", issueTo(2, "erased").body, nil)
	erased := r.citizen(t, bench.SSIN(2).Reveal())
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.erase(t, `{"citizenId":"`+erased.String()+`","scope":"citizen","reason":"citizenRequest"}`, erased)
	r.close(t)
	putLog(t, w.dir, w.before)

	sh := &shell{t: t}
	accept := func(words ...string) []string {
		return append([]string{"restore", "--accept-loss", string(w.dir)}, words...)
	}
	for _, wrong := range [][]string{
		accept(), accept("--by", "ann.peeters"), accept("--by", " ", "--cause", "failover", "--yes"),
		accept("--by", "ann.peeters", "--cause", "whim", "--yes"),
		accept("--by", "ann.peeters", "--cause", "failover"), // nobody can be asked
		accept("--by", "ann.peeters", "--cause", "failover", "--yes", "file.age"),
		{"restore", "--accept-loss", filepath.Join(t.TempDir(), "absent"), "--by", "ann.peeters", "--cause", "failover", "--yes"},
	} {
		sh.must(exitUsage, wrong...)
	}
	w.refused(t, " has seen position ") // nothing was accepted so far
	got := sh.must(0, accept("--by", "ann.peeters", "--cause", "mediumLost", "--yes", "--json")...)
	var done vault.AcceptedLoss
	if err := json.Unmarshal([]byte(got.out), &done); err != nil {
		t.Fatal(err)
	}
	if len(done.Reopen) != 1 || done.Reopen[0].String() != w.consent || done.Registered != 1 || done.Requests == 0 || len(done.ReadModels) == 0 || done.Last.IsZero() {
		t.Errorf("%+v", done)
	}
	if !strings.Contains(got.err, w.consent) {
		t.Errorf("%q does not name the consent that is in force again", got.err)
	}
	if got := sh.must(exitFailed, accept("--by", "ann.peeters", "--cause", "mediumLost", "--yes")...); !strings.Contains(got.err, "nothing is lost") {
		t.Errorf("a second time: %q", got.err)
	}

	r = w.open(t)
	defer r.close(t)
	e, who := r.acceptedLoss(t)
	if e.LogEnd != done.LogEnd || e.SeenEnd != done.SeenEnd || e.Events != done.Events || e.Events < 5 || e.Cause != audit.MediumLost {
		t.Errorf("%+v is on record of %+v", e, done)
	}
	if who.Role != domain.RoleOperator || who.Subject == "" || who.Subject != r.Ring.Audit().Subject("ann.peeters") {
		t.Errorf("accepted by %+v", who)
	}
	if code := w.access(t, r); code != http.StatusOK {
		t.Errorf("under the consent whose withdrawal is lost: %d", code)
	}
	again := issue(r) // the same request, whose answer is remembered and whose document is lost
	if again.Code != http.StatusCreated || again.Header().Get("Location") != first.Header().Get("Location") {
		t.Errorf("a lost request again: %d %s", again.Code, again.Body)
	}
	if code := r.status(t, attestor, strings.TrimPrefix(again.Header().Get("Location"), contract.Base)); code != http.StatusOK {
		t.Errorf("the document issued again: %d", code)
	}
	req := httptest.NewRequest(http.MethodPost, contract.Base+"/documents", strings.NewReader(issueTo(2, "again").body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	if got := r.ask(req, r.bearer(t, drillIssuer)); got.Code != http.StatusConflict || !strings.Contains(got.Body.String(), "citizenErased") {
		t.Errorf("E-4 issuing to who was erased: %d %s", got.Code, got.Body)
	}
}
