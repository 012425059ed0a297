package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

func connect(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func openStore(t *testing.T, dsn string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func some1(name eventstore.Stream) eventstore.Batch {
	return eventstore.Batch{Stream: name, Expected: eventstore.Any, Records: storetest.Records(1)}
}

func mustAppend(t *testing.T, s *Store, b eventstore.Batch) eventstore.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// application prepares a database and returns its DSN for the owner and for the
// application's role.
func application(t *testing.T) (owner, app string) {
	t.Helper()
	server := pgtest.Shared(t)
	owner = server.Database(t)
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	role := "app_" + u.User.Username()
	done, err := Prepare(t.Context(), owner, PrepareOptions{Role: role})
	if err != nil {
		t.Fatal(err)
	}
	if !done.RoleMade || done.Before != 0 || done.After != len(steps) || done.Server == "" {
		t.Fatalf("%+v", done)
	}
	password, _ := u.User.Password()
	server.Exec(t, fmt.Sprintf(`ALTER ROLE %q PASSWORD '%s'`, role, password))
	u.User = url.UserPassword(role, password)
	return owner, u.String()
}

// What the application's role may not do, whatever runs in its process. The owner,
// and even a superuser, meet the trigger before they have taken it away.
func TestNothingIsChangedOrDeleted(t *testing.T) {
	owner, app := application(t)
	s := openStore(t, app, Options{})
	mustAppend(t, s, some1("consent-1"))

	limited := connect(t, app)
	for _, statement := range []string{
		`UPDATE eventlog.events SET revision = 7`,
		`DELETE FROM eventlog.events`,
		`TRUNCATE eventlog.events`,
		`DROP TABLE eventlog.events`,
		`DROP SCHEMA eventlog CASCADE`,
		`ALTER TABLE eventlog.events DISABLE TRIGGER ALL`,
		`DROP TRIGGER events_are_never_changed ON eventlog.events`,
		`CREATE OR REPLACE FUNCTION eventlog.never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
		`CREATE TABLE eventlog.mine (n int)`,
		`UPDATE eventlog.form SET form = 0`,
		`SET session_replication_role = replica`,
		`GRANT UPDATE ON eventlog.events TO PUBLIC`,
	} {
		_, err := limited.ExecContext(t.Context(), statement)
		if code := pgdb.Code(err); code != "42501" && !(strings.HasPrefix(statement, "GRANT") && err == nil) {
			t.Errorf("the application's role: %s: %v, want insufficient privilege", statement, err)
		}
	}
	var granted bool // a GRANT without the right to is a warning, and does nothing
	if err := limited.QueryRowContext(t.Context(), `SELECT has_table_privilege('eventlog.events', 'UPDATE')`).Scan(&granted); err != nil || granted {
		t.Errorf("the application's role may update: %t, %v", granted, err)
	}

	super := connect(t, pgtest.Shared(t).Superuser(t, owner))
	mustExec(t, super, `SET session_replication_role = replica`)
	for name, db := range map[string]*sql.DB{"the owner": connect(t, owner), "a superuser that replicates": super} {
		for _, statement := range []string{
			`UPDATE eventlog.events SET revision = 7`,
			`DELETE FROM eventlog.events`,
			`DELETE FROM eventlog.events WHERE false`,
			`TRUNCATE eventlog.events`,
		} {
			if _, err := db.ExecContext(t.Context(), statement); pgdb.Code(err) != "23001" {
				t.Errorf("%s: %s: %v, want the trigger's refusal", name, statement, err)
			}
		}
	}
	if head, err := s.Head(t.Context()); err != nil || head != dense.Position(1) {
		t.Fatalf("%v, %v", head, err)
	}
}

func TestPrepareIsRepeatedAndRaced(t *testing.T) {
	owner, _ := application(t)
	again, err := Prepare(t.Context(), owner, PrepareOptions{})
	if err != nil || again.Before != len(steps) || again.After != len(steps) || again.RoleMade {
		t.Fatalf("%+v, %v", again, err)
	}

	fresh := pgtest.Shared(t).Database(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = Prepare(t.Context(), fresh, PrepareOptions{})
			} else {
				var s *Store
				if s, err = Open(t.Context(), fresh, Options{Readers: 1}); err == nil {
					err = s.Close()
				}
			}
			if err != nil {
				t.Errorf("one of eight that come at once: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestPrepareRefuses(t *testing.T) {
	owner, app := application(t)
	user := func(dsn string) string {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		return u.User.Username()
	}
	for name, c := range map[string]struct {
		dsn, role string
		want      error
	}{
		"a role's name that is none":   {owner, `x"; DROP TABLE events`, pgdb.ErrRoleName},
		"the owner as application":     {owner, user(owner), pgdb.ErrRoleOwner},
		"a superuser as application":   {owner, "postgres", pgdb.ErrRoleOwner},
		"the application as the owner": {app, "", ErrNotOwner},
		"what is no address":           {"host=nowhere password=canary", "", pgdb.ErrDSN},
	} {
		if _, err := Prepare(t.Context(), c.dsn, PrepareOptions{Role: c.role}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error holds a password", name)
		}
	}
}

// A log that is not prepared, or not for this role, is not opened, and says what to do.
func TestOpenNeedsAPreparedLog(t *testing.T) {
	server := pgtest.Shared(t)
	owner, app := application(t)
	u, err := url.Parse(app)
	if err != nil {
		t.Fatal(err)
	}
	empty := server.Database(t)
	e, err := url.Parse(empty)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := *u
	elsewhere.Path = e.Path
	if _, err := Open(t.Context(), elsewhere.String(), Options{}); !errors.Is(err, ErrNotPrepared) {
		t.Errorf("an empty database: %v, want ErrNotPrepared", err)
	}
	stranger := *e
	stranger.Path = u.Path
	if _, err := Open(t.Context(), stranger.String(), Options{}); err == nil || !strings.Contains(err.Error(), "may not read it") {
		t.Errorf("a role without rights: %v", err)
	}
	if _, err := Prepare(t.Context(), owner, PrepareOptions{}); err != nil {
		t.Error(err)
	}
}

// Expand, then contract: a program goes on with tables of a newer form until that
// form says that it no longer serves it.
func TestFormsAheadAndBehind(t *testing.T) {
	owner, app := application(t)
	s := openStore(t, app, Options{})
	known := steps
	t.Cleanup(func() { steps = known })

	expand := step{sql: `ALTER TABLE events ADD COLUMN later text`, serves: 1}
	contract := step{sql: `ALTER TABLE events DROP COLUMN later`, serves: 2}
	steps = append(append([]step{}, known...), expand)
	if _, err := Open(t.Context(), app, Options{}); !errors.Is(err, ErrNotPrepared) {
		t.Fatalf("a newer program before its step: %v, want ErrNotPrepared", err)
	}
	if done, err := Prepare(t.Context(), owner, PrepareOptions{}); err != nil || done.Before != 1 || done.After != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	steps = known
	mustAppend(t, s, some1("consent-1")) // the old program, still running
	mustAppend(t, openStore(t, app, Options{}), some1("consent-1"))

	steps = append(append([]step{}, known...), expand, contract)
	if _, err := Prepare(t.Context(), owner, PrepareOptions{}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, openStore(t, app, Options{}), some1("consent-1"))
	steps = known
	if _, err := Open(t.Context(), app, Options{}); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Fatalf("a program the tables no longer serve: %v", err)
	}
	if _, err := Prepare(t.Context(), owner, PrepareOptions{}); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Fatalf("prepared by a program the tables no longer serve: %v", err)
	}
}

// A step that fails, or is killed, in the middle leaves nothing of itself.
func TestStepIsAllOrNothing(t *testing.T) {
	owner, app := application(t)
	known := steps
	t.Cleanup(func() { steps = known })
	steps = append(append([]step{}, known...), step{sql: `CREATE TABLE half (n int); SELECT 1/0`, serves: 1})
	if _, err := Prepare(t.Context(), owner, PrepareOptions{}); err == nil {
		t.Fatal("a step that fails was done")
	}
	steps = known
	var there bool
	if err := connect(t, owner).QueryRowContext(t.Context(), `SELECT to_regclass('eventlog.half') IS NOT NULL`).Scan(&there); err != nil || there {
		t.Fatalf("half a step is there: %t, %v", there, err)
	}
	mustAppend(t, openStore(t, app, Options{}), some1("consent-1"))
}

func TestSettingsThatLoseEventsAreRefused(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	s := openStore(t, dsn, Options{})
	mustAppend(t, s, some1("consent-1"))
	doubts, err := s.Doubts(t.Context())
	if err != nil || len(doubts) > 0 {
		t.Fatalf("%q, %v", doubts, err)
	}
	if done, err := Prepare(t.Context(), dsn, PrepareOptions{}); err != nil || len(done.Doubts) != 1 || !strings.Contains(done.Doubts[0], "synchronous_standby_names") {
		t.Fatalf("a single server: %+v, %v", done, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"fsync", "full_page_writes"} {
		server.Exec(t, `ALTER SYSTEM SET `+setting+` = off`)
		server.Restart(t)
		if _, err := Open(t.Context(), dsn, Options{}); !errors.Is(err, errVolatile) || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s=off: %v, want a refusal", setting, err)
		}
		server.Exec(t, `ALTER SYSTEM RESET `+setting)
		server.Restart(t)
	}
	// A session of ours asks for synchronous commits, whatever the server's default.
	server.Exec(t, `ALTER SYSTEM SET synchronous_commit = off`)
	server.Restart(t)
	s = openStore(t, dsn, Options{})
	mustAppend(t, s, some1("consent-1"))
	var level string
	if err := s.sequencer.conn.QueryRow(context.Background(), `SHOW synchronous_commit`).Scan(&level); err != nil || level != "on" {
		t.Fatalf("synchronous_commit is %s, %v", level, err)
	}
}

// A pooler before the server is named, by a vault that starts and by one that prepares.
func TestPoolerIsRefused(t *testing.T) {
	dsn := pgtest.Bouncer(t, pgtest.Shared(t).Database(t), "transaction")
	if _, err := Open(t.Context(), dsn, Options{}); !errors.Is(err, pgdb.ErrPooler) {
		t.Errorf("opened: %v", err)
	}
	if _, err := Prepare(t.Context(), dsn, PrepareOptions{}); !errors.Is(err, pgdb.ErrPooler) {
		t.Errorf("prepared: %v", err)
	}
}
