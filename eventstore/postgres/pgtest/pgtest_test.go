package pgtest_test

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"coffre/eventstore/postgres/pgtest"
)

// childServer is set in the process that TestServerEndsWithItsTest kills.
const childServer = "COFFRE_TEST_PGTEST_CHILD"

func connect(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func text(t *testing.T, db *sql.DB, query string) (answer string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestDatabasesAreDurableAndApart(t *testing.T) {
	s := pgtest.Shared(t)
	a, b := connect(t, s.Database(t)), connect(t, s.Database(t))
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := text(t, a, `SHOW `+setting); got != "on" {
			t.Errorf("%s is %s: what is tested is not what ships", setting, got)
		}
	}
	if text(t, a, `SELECT current_database()`) == text(t, b, `SELECT current_database()`) {
		t.Error("two tests share a database")
	}
	if text(t, a, `SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user`) != "false" {
		t.Error("the owner is a superuser, whom nothing is refused")
	}
}

func TestServerIsStoppedAndStarted(t *testing.T) {
	s := pgtest.Start(t)
	db := connect(t, s.Database(t))
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string]func(){
		"restarted": func() { s.Restart(t) },
		"stopped":   func() { s.Stop(t); s.Start(t) },
		"crashed":   func() { s.Crash(t); s.Start(t) },
	} {
		again()
		db := connect(t, dsnOf(t, s, db))
		if got := text(t, db, `SELECT n::text FROM kept`); got != "1" {
			t.Errorf("%s: the row reads %s", name, got)
		}
	}
	s.Stop(t)
	if err := connect(t, s.Superuser(t, "postgres://x/postgres")).PingContext(t.Context()); err == nil {
		t.Error("a stopped server answers")
	}
	s.Start(t)
}

// dsnOf names the database again for a pool that has no stale connection.
func dsnOf(t *testing.T, s *pgtest.Server, db *sql.DB) string {
	t.Helper()
	var name string
	for {
		err := db.QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name)
		if err == nil {
			return s.Superuser(t, "postgres://x/"+name)
		}
		if t.Context().Err() != nil {
			t.Fatal(err) // each attempt uses up one connection that the restart cut
		}
	}
}

// A test that is killed leaves neither a server nor its files behind.
func TestServerEndsWithItsTest(t *testing.T) {
	if os.Getenv(childServer) != "" {
		s := pgtest.Start(t)
		db := connect(t, s.Superuser(t, "postgres://x/postgres"))
		fmt.Println("data", text(t, db, `SHOW data_directory`))
		select {}
	}
	pgtest.Start(t) // says so where there is none
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe, "-test.run=^TestServerEndsWithItsTest$")
	child.Env = append(os.Environ(), childServer+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	data, ok := strings.CutPrefix(strings.TrimSpace(line), "data ")
	if err != nil || !ok {
		t.Fatalf("the child says %q, %v", line, err)
	}
	if _, err := os.Stat(data); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the server of a killed test is still there")
		}
	}
}
