package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/postgres/pgtest"
)

// shortly is a lock timeout that a test can wait for. What is bounded by it ends
// because of it: otherwise the test would hang.
const shortly = 200 * time.Millisecond

// holder is another session with a transaction open.
type holder struct {
	t  *testing.T
	tx *sql.Tx
}

func hold(t *testing.T, dsn string, statements ...string) *holder {
	t.Helper()
	tx, err := connect(t, dsn).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return &holder{t, tx}
}

func (h *holder) release() {
	h.t.Helper()
	if err := h.tx.Rollback(); err != nil {
		h.t.Fatal(err)
	}
}

func readAll(ctx context.Context, s eventstore.Store) (n int, err error) {
	for _, err := range s.ReadAll(ctx, eventstore.Position{}, 1<<30) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// A session that holds a transaction open delays nobody's committed events, and
// nobody's appends beyond the lock timeout.
func TestOpenTransactionsOfOthers(t *testing.T) {
	server := pgtest.Shared(t)
	for name, c := range map[string]struct {
		statements []string
		appends    bool // while it is held
		reads      bool
	}{
		"that only read":                     {[]string{`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`, `SELECT count(*) FROM eventlog.events`}, true, true},
		"that wrote elsewhere":               {[]string{`CREATE TABLE elsewhere (n int)`, `INSERT INTO elsewhere VALUES (1)`}, true, true},
		"that read rows for update":          {[]string{`SELECT * FROM eventlog.events FOR UPDATE`}, true, true},
		"that holds the lock of the appends": {[]string{fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, appending)}, false, true},
		"that inserted an event past the lock": {[]string{`INSERT INTO eventlog.events (position, revision, time, id, stream, type, sum)
			VALUES (3, 0, 0, gen_random_uuid(), 'x', 'x', 'x')`}, false, true},
		"that keeps writers out":   {[]string{`LOCK TABLE eventlog.events IN EXCLUSIVE MODE`}, false, true},
		"that keeps everybody out": {[]string{`LOCK TABLE eventlog.events IN ACCESS EXCLUSIVE MODE`}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := server.Database(t)
			s := openStore(t, dsn, Options{LockTimeout: shortly})
			mustAppend(t, s, some1("consent-1"))
			mustAppend(t, s, some1("consent-2"))
			h := hold(t, dsn, c.statements...)

			b := some1("consent-1")
			_, err := s.Append(t.Context(), b)
			switch {
			case c.appends && err != nil:
				t.Errorf("append: %v", err)
			case !c.appends && !errors.Is(err, eventstore.ErrUnavailable):
				t.Errorf("append: %v, want ErrUnavailable", err)
			}
			want := 2
			if c.appends {
				want = 3
			}
			n, err := readAll(t.Context(), s)
			switch {
			case c.reads && (err != nil || n != want):
				t.Errorf("%d records, %v, want %d", n, err, want)
			case !c.reads && !errors.Is(err, eventstore.ErrUnavailable):
				t.Errorf("read: %v, want ErrUnavailable", err)
			}

			h.release()
			done := mustAppend(t, s, b)
			if done.Repeated != c.appends || done.Position != dense.Position(3) {
				t.Errorf("afterwards: %+v", done)
			}
			if n, err := readAll(t.Context(), s); err != nil || n != 3 {
				t.Errorf("afterwards %d records, %v", n, err)
			}
		})
	}
}

// A session that sits on the lock without a word is ended by the server; appends that
// wait for longer than that go on by themselves.
func TestIdleHolderOfTheLockIsEnded(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	if _, err := Prepare(t.Context(), dsn, PrepareOptions{}); err != nil {
		t.Fatal(err)
	}
	var bound string
	db := connect(t, dsn)
	if err := db.QueryRowContext(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&bound); err != nil || bound != "10s" {
		t.Fatalf("a session of anybody may idle in a transaction for %s, %v", bound, err)
	}
	s := openStore(t, dsn, Options{LockTimeout: time.Minute})
	hold(t, dsn, `SET idle_in_transaction_session_timeout = 200`, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, appending))
	mustAppend(t, s, some1("consent-1"))
}

// Our own sessions are ended too should their process stop in a transaction.
func TestOwnSessionsAreBounded(t *testing.T) {
	s := openStore(t, pgtest.Shared(t).Database(t), Options{LockTimeout: shortly})
	var idle, lock string
	err := s.sequencer.conn.QueryRow(t.Context(), `SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout')`).Scan(&idle, &lock)
	if err != nil || idle == "0" || lock != "200ms" {
		t.Fatalf("idle in a transaction for %s, waiting for a lock for %s, %v", idle, lock, err)
	}
}
