package main

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/eventstore/kurrent/kurrenttest"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// alarms is a process's log that tells when a line about tampering is written.
type alarms struct {
	mu   sync.Mutex
	text bytes.Buffer
	told chan struct{}
}

func (a *alarms) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text.Write(line)
	if bytes.Contains(line, []byte("tampering")) {
		a.told <- struct{}{}
	}
	return len(line), nil
}

// lines returns those about tampering.
func (a *alarms) lines() (found []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range strings.Lines(a.text.String()) {
		if strings.Contains(line, "tampering") {
			found = append(found, line)
		}
	}
	return found
}

// openAlarmed opens a rig whose log is kept.
func openAlarmed(t *testing.T, dir vault.DataDir, o vault.Options) (*rig, *alarms) {
	t.Helper()
	a := &alarms{told: make(chan struct{}, 100)}
	o.Logger = slog.New(slog.NewTextHandler(a, nil))
	v, err := vault.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	key, err := token.OpenDevKey(dir.File(vault.DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Instance: v, dir: dir, key: key}, a
}

// servesAround checks that a document whose stream is gone is answered 503 to everybody,
// loudly and once, and that another one is served and written to.
func servesAround(t *testing.T, r *rig, a *alarms, gone, other holdings) {
	t.Helper()
	issuer := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
	subject := grantFor(domain.RoleCitizen, "", r.citizen(t, ssinA))
	for who, g := range map[string]token.Grant{"its issuer": issuer, "its subject": subject} {
		w := r.ask(httptest.NewRequest(http.MethodGet, contract.Base+"/documents/"+gone["documentId"], nil), r.bearer(t, g))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "integrityViolated") || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s is answered %d %s", who, w.Code, w.Body)
		}
	}
	r.get(t, issuer, "/documents/"+other["documentId"])
	if w := r.issue(t, uuid.New(), ssinB, "around "+uuid.NewString()); w.Code != http.StatusCreated {
		t.Errorf("another document is not issued: %d %s", w.Code, w.Body)
	}
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
	if lines := a.lines(); len(lines) != 1 || !strings.Contains(lines[0], "stream=document-"+gone["documentId"]) {
		t.Errorf("told %q", lines)
	}
	if health := r.Health(t.Context()); health != contract.HealthStatusDEGRADED {
		t.Errorf("health %s", health)
	}
	w := httptest.NewRecorder()
	r.Operators().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\ncoffre_log_tampered_places 1\n") {
		t.Error("the metric does not say 1")
	}
}

// A document's stream that an administrator of KurrentDB deletes, for good or not, is
// tampering that is told of and takes nothing else with it: the process goes on, and the
// next one starts, also when a scavenge took the records away.
func TestADeletedStreamTakesNothingElseWithIt(t *testing.T) {
	for how, remove := range map[string]func(*kurrenttest.Server, string){
		"for good":            (*kurrenttest.Server).DeleteForGood,
		"for good, scavenged": func(s *kurrenttest.Server, stream string) { s.DeleteForGood(stream); s.Scavenge() },
		"softly":              (*kurrenttest.Server).DeleteSoftly,
		"softly, scavenged":   func(s *kurrenttest.Server, stream string) { s.DeleteSoftly(stream); s.Scavenge() },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server, dir := kurrenttest.Start(t), vault.DataDir(t.TempDir())
			o := vault.Options{Stores: vault.StoresConfig{Log: server.Address}}
			r, a := openAlarmed(t, dir, o)
			other := r.settle(t, ssinB, ssinA, "deleted-b")
			gone := r.settle(t, ssinA, ssinB, "deleted-a")
			if err := r.Runner.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if health := r.Health(t.Context()); health != contract.HealthStatusUP {
				t.Fatalf("health %s before anything happened", health)
			}
			remove(server, "document-"+gone["documentId"])
			<-a.told // without anybody asking
			servesAround(t, r, a, gone, other)
			select {
			case err := <-r.Failed():
				t.Errorf("a part has stopped: %v", err)
			default:
			}
			r.close(t)
			r, a = openAlarmed(t, dir, o)
			<-a.told
			for strings.Contains(how, "scavenged") && len(a.lines()) < 2 { // and the index of leaves tells of each record
				<-a.told
			}
			if health := r.Health(t.Context()); health != contract.HealthStatusDEGRADED {
				t.Errorf("health %s after a start", health)
			}
			issuer := grantFor(domain.RoleIssuer, orgA, domain.CitizenID{})
			if code := r.status(t, issuer, "/documents/"+gone["documentId"]); code != http.StatusServiceUnavailable {
				t.Errorf("after a start it is answered %d", code)
			}
			r.get(t, issuer, "/documents/"+other["documentId"])
			r.close(t)

			s := &shell{t: t, adapt: func(p *program) {
				p.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) {
					o.Logger = slog.New(slog.NewTextHandler(p.Err, nil))
					return vault.Open(ctx, dir, o)
				}
			}}
			told := s.must(exitTamper, "documents", "show", "--data", string(dir), "--org", string(orgA), gone["documentId"])
			for _, want := range []string{"integrityViolated", "tampering", "stream=document-" + gone["documentId"], "commit="} {
				if !strings.Contains(told.err, want) {
					t.Errorf("a command that finds it does not say %q: %s", want, told.err)
				}
			}
			s.must(0, "documents", "show", "--data", string(dir), "--org", string(orgA), other["documentId"])
		})
	}
}

// Rows that somebody takes out of the log in a database, whole streams, are no documents
// that never were.
func TestRemovedRowsAreNeverAbsent(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		r, other := removeRows(t, vault.Options{}, func(dir vault.DataDir, id uuid.UUID) {
			db, err := sqlitedb.Open(t.Context(), dir.File("events.db"), sqlitedb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			execute(t, db.Writer.DB, `DROP TRIGGER events_are_never_deleted`)
			execute(t, db.Writer.DB, `DELETE FROM events WHERE stream = (SELECT id FROM streams WHERE name = ?)`, id[:])
			execute(t, db.Writer.DB, `DELETE FROM streams WHERE name = ?`, id[:])
		})
		// A start verifies the end of the log, and refuses a damaged one.
		s := &shell{t: t}
		if told := s.must(exitTamper, "documents", "show", "--data", string(r.dir), other["documentId"]); !strings.Contains(told.err, "damaged record at position") {
			t.Errorf("%s", told.err)
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Shared(t)
		dsn := server.Database(t)
		removeRows(t, vault.Options{Stores: vault.StoresConfig{Log: dsn}}, func(_ vault.DataDir, id uuid.UUID) {
			db, err := sql.Open("pgx", server.Superuser(t, dsn))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			execute(t, db, `ALTER TABLE eventlog.events DISABLE TRIGGER ALL`)
			execute(t, db, `DELETE FROM eventlog.events WHERE stream = $1`, []byte("document-"+id.String()))
		})
	})
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}

// removeRows lets remove take a document out of the log of a vault that serves, and checks
// that all else is served. It returns the vault, closed, and the other document.
func removeRows(t *testing.T, o vault.Options, remove func(dir vault.DataDir, document uuid.UUID)) (*rig, holdings) {
	t.Helper()
	dir := vault.DataDir(t.TempDir())
	r, a := openAlarmed(t, dir, o)
	other := r.settle(t, ssinB, ssinA, "removed-b")
	gone := r.settle(t, ssinA, ssinB, "removed-a")
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove(dir, uuid.MustParse(gone["documentId"]))
	servesAround(t, r, a, gone, other)
	r.close(t)
	return r, other
}
