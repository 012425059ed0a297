// Package pgtest gives tests a real PostgreSQL: started privately from the
// binaries of the machine, as a user without privileges, in a directory that is
// removed again, and gone when the test process is, however it ends. Where
// COFFRE_TEST_POSTGRES holds the DSN of a superuser, that server is used instead,
// except by tests that stop theirs.
//
// Invariant: the server is as durable as in production (fsync, full_page_writes
// and synchronous_commit are on), and no two tests share a database.
package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
)

// Given names the variable that holds the DSN of a server to use.
const Given = "COFFRE_TEST_POSTGRES"

const superuser = "postgres"

// Server is a PostgreSQL that accepts connections. Its methods may be called
// concurrently, those that stop and start it excepted.
type Server struct {
	super   url.URL  // of a superuser, to the database postgres
	cluster *cluster // nil when the server was given

	mu   sync.Mutex
	made int
}

var shared = sync.OnceValues(func() (*Server, error) {
	if dsn := os.Getenv(Given); dsn != "" {
		u, err := url.Parse(dsn)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%s is not of the form postgres://user:password@host:port/database", Given)
		}
		return &Server{super: *u}, nil
	}
	return start()
})

// Shared returns the server that all tests of this process share. Whoever stops
// it, or changes its settings, uses [Start].
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	need(t, err)
	return s
}

// Start starts a server for this test alone, which it may stop, crash and start.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	need(t, err)
	t.Cleanup(s.cluster.remove)
	return s
}

// Programs returns the folder with PostgreSQL's own programs, psql among them.
func Programs(t testing.TB) string {
	t.Helper()
	dir, err := binaries()
	need(t, err)
	return dir
}

func start() (*Server, error) {
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	return serving(c), nil
}

func serving(c *cluster) *Server {
	return &Server{cluster: c, super: url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, c.password), Host: c.addr(), Path: "/postgres",
		RawQuery: "sslmode=disable",
	}}
}

// Standby starts a server that follows s and, from then on, confirms every commit of
// s before it is acknowledged.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	if s.cluster == nil {
		t.Fatal("pgtest: a server that was given is not followed; use Start")
	}
	c, err := s.cluster.standby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.remove)
	s.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
	s.Exec(t, `SELECT pg_reload_conf()`)
	return serving(c)
}

// Promote makes a standby the one that is written to.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	// It would wait for a standby of its own.
	if err := s.cluster.configure("synchronous_standby_names = ''\n"); err != nil {
		t.Fatal(err)
	}
	s.control(t, "promote")
	s.Exec(t, `SELECT pg_reload_conf()`)
}

// need ends a test that has no server. That the machine has no PostgreSQL is a
// failure in CI, elsewhere the test is not run.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errMissing) && os.Getenv("CI") != "true":
		t.Skipf("not run: %v", err)
	default:
		t.Fatal(err)
	}
}

// Database makes an empty database and returns the DSN of its owner, postgres://…,
// over loopback TCP. It is gone after the test, or with the server, and with it every
// role whose name ends in the owner's. The owner is a role of its own
// that may create roles and is no superuser.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	s.made++
	// Other processes use a given server too.
	name := fmt.Sprintf("coffre_%d_%d_%s", os.Getpid(), s.made, rand.Text()[:6])
	s.mu.Unlock()
	password := rand.Text()
	s.Exec(t, fmt.Sprintf(`CREATE ROLE %q LOGIN CREATEROLE PASSWORD '%s'`, name, password))
	s.Exec(t, fmt.Sprintf(`CREATE DATABASE %q OWNER %q TEMPLATE template0`, name, name))
	if s.cluster == nil { // ours are removed with their directory, which spares a checkpoint for each
		t.Cleanup(func() {
			s.Exec(t, fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name))
			s.Exec(t, fmt.Sprintf(`DO $$ DECLARE r name; BEGIN
				FOR r IN SELECT rolname FROM pg_roles WHERE right(rolname, %d) = '%s' LOOP EXECUTE format('DROP ROLE %%I', r); END LOOP;
			END $$`, len(name), name))
		})
	}
	u := s.super
	u.User, u.Path = url.UserPassword(name, password), "/"+name
	return u.String()
}

// Copy copies the database that dsn names, to which nobody may be connected, and returns the
// DSN of the copy for the same owner. It is gone like those of Database.
func (s *Server) Copy(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("not a DSN")
	}
	of := u.Path[1:]
	s.mu.Lock()
	s.made++
	name := fmt.Sprintf("copy_%d_%s", s.made, of)
	s.mu.Unlock()
	s.Exec(t, fmt.Sprintf(`CREATE DATABASE %q OWNER %q TEMPLATE %q`, name, u.User.Username(), of))
	if s.cluster == nil {
		t.Cleanup(func() { s.Exec(t, fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name)) })
	}
	u.Path = "/" + name
	return u.String()
}

// Superuser returns the DSN of a superuser to the database that dsn names.
func (s *Server) Superuser(t testing.TB, dsn string) string {
	t.Helper()
	named, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("not a DSN")
	}
	u := s.super
	u.Path = named.Path
	return u.String()
}

// Publish publishes every table of the database that dsn names, those still to be made
// included, as an operator does who replicates it logically. From then on the server
// refuses an UPDATE or DELETE of a table without a replica identity.
func (s *Server) Publish(t testing.TB, dsn string) {
	t.Helper()
	db := s.open(t, dsn)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `CREATE PUBLICATION everything FOR ALL TABLES`); err != nil {
		t.Fatal(err)
	}
}

// Unkeyed lists the tables without a primary key in the database that dsn names, in all
// schemas but PostgreSQL's own. It fails the test when there is no table at all.
func (s *Server) Unkeyed(t testing.TB, dsn string) (unkeyed []string) {
	t.Helper()
	db := s.open(t, dsn)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT c.oid::regclass::text, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
		FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var name string
		var keyed bool
		if err := rows.Scan(&name, &keyed); err != nil {
			t.Fatal(err)
		}
		if seen++; !keyed {
			unkeyed = append(unkeyed, name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("there is no table: this test sees nothing")
	}
	return unkeyed
}

// open connects as superuser to the database that dsn names.
func (s *Server) open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", s.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Exec runs a statement as superuser, in the database postgres.
func (s *Server) Exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", s.super.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil { // the test's context has ended in a cleanup
		t.Fatalf("%s: %v", statement, err)
	}
}

// Addr is where the server listens, "127.0.0.1:54321": what a proxy before it needs.
func (s *Server) Addr() string {
	return s.super.Hostname() + ":" + cmp.Or(s.super.Port(), "5432")
}

// Directory makes a directory that the server may write to, gone with it: for a
// tablespace.
func (s *Server) Directory(t testing.TB) string {
	t.Helper()
	if s.cluster == nil {
		t.Fatal("pgtest: a server that was given has directories elsewhere; use Start")
	}
	dir, err := s.cluster.directory()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Via returns dsn with the address of a proxy in the place of the server's.
func Via(t testing.TB, dsn, addr string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("not a DSN")
	}
	u.Host = addr
	return u.String()
}

// Stop shuts the server down in order: its clients are disconnected.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.control(t, "-m", "fast", "stop")
}

// Crash ends the server at once, as kill -9 of all its processes would: the next
// start recovers from the write-ahead log.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.control(t, "-m", "immediate", "stop")
}

// Start starts the server again, at the same address.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.control(t, "start")
}

// Restart is Stop and Start.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.control(t, "-m", "fast", "restart")
}

func (s *Server) control(t testing.TB, args ...string) {
	t.Helper()
	if s.cluster == nil {
		t.Fatal("pgtest: a server that was given is not stopped; use Start")
	}
	if err := s.cluster.control(args...); err != nil {
		t.Fatal(err)
	}
}

// Data returns the folder of the server's files, those of its write-ahead log in pg_wal.
func (s *Server) Data(t testing.TB) string {
	t.Helper()
	if s.cluster == nil {
		t.Fatal("pgtest: a server that was given keeps its files elsewhere; use Start")
	}
	return s.cluster.data()
}
