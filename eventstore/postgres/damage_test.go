package postgres

import (
	"errors"
	"fmt"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/postgres/pgtest"
)

// tampering is a superuser's session in which the trigger is off.
func tamper(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	db := connect(t, pgtest.Shared(t).Superuser(t, dsn))
	mustExec(t, db, `ALTER TABLE eventlog.events DISABLE TRIGGER ALL`)
	for _, statement := range statements {
		mustExec(t, db, statement)
	}
	mustExec(t, db, `ALTER TABLE eventlog.events ENABLE ALWAYS TRIGGER events_are_never_changed`)
}

// Whatever is changed behind our back is met when it is read, and named (R14).
func TestDamageIsMet(t *testing.T) {
	for column, change := range map[string]string{
		"sealed":  `sealed = set_byte(sealed, 0, get_byte(sealed, 0) # 1)`,
		"clear":   `clear = set_byte(clear, 3, get_byte(clear, 3) # 64)`,
		"meta":    `meta = NULL`,
		"type":    `type = set_byte(type, 0, 0)`,
		"time":    `time = time + 1`,
		"id":      `id = gen_random_uuid()`,
		"sum":     `sum = set_byte(sum, 31, get_byte(sum, 31) # 1)`,
		"stream":  `stream = 'consent-elsewhere'`,
		"missing": ``,
	} {
		t.Run(column, func(t *testing.T) {
			dsn := pgtest.Shared(t).Database(t)
			s := openStore(t, dsn, Options{})
			for range 5 {
				mustAppend(t, s, some1("consent-1"))
				mustAppend(t, s, some1("consent-2"))
			}
			statement := `UPDATE eventlog.events SET ` + change + ` WHERE position = 5` // consent-1@2
			if change == "" {
				statement = `DELETE FROM eventlog.events WHERE position = 5`
			}
			tamper(t, dsn, statement)

			var corrupt *eventstore.Corrupt
			n, err := readAll(t.Context(), s)
			if !errors.As(err, &corrupt) || corrupt.Position != dense.Position(5) || n != 4 {
				t.Errorf("reading all: %d records, then %v", n, err)
			}
			n = 0
			for _, err = range s.ReadStream(t.Context(), "consent-1", 0) {
				if err == nil {
					n++
				}
			}
			if !errors.As(err, &corrupt) || corrupt.Revision != 2 || n != 2 {
				t.Errorf("reading the stream: %d records, then %v", n, err)
			}
			for _, err := range s.ReadStream(t.Context(), "consent-2", 0) {
				if err != nil {
					t.Errorf("the other stream: %v", err)
				}
			}
			damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil)
			if err != nil || len(damaged) != 1 || damaged[0].Position != dense.Position(5) {
				t.Errorf("verify: %v, %v", damaged, err)
			}
			found := 0
			if err := s.Scrub(t.Context(), 1<<20, func(*eventstore.Corrupt) { found++ }); err != nil || found != 1 {
				t.Errorf("scrub: %d, %v", found, err)
			}
			if _, err := Open(t.Context(), dsn, Options{}); !errors.As(err, &corrupt) {
				t.Errorf("opened: %v, want *Corrupt", err)
			}
			mustAppend(t, openStore(t, dsn, Options{ServeDamaged: true}), some1("consent-2"))
		})
	}
}

// A database that has fewer records than it had acknowledged, because it was restored
// or another server took over, gets no more: their positions would be given twice.
func TestLostRecordsEndAppends(t *testing.T) {
	for name, restart := range map[string]bool{"met by the next append": false, "met by the next connection": true} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.Shared(t).Database(t)
			s := openStore(t, dsn, Options{})
			for range 3 {
				mustAppend(t, s, some1("consent-1"))
			}
			tamper(t, dsn, `DELETE FROM eventlog.events WHERE position = 3`)
			if restart {
				mustExec(t, connect(t, pgtest.Shared(t).Superuser(t, dsn)), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					WHERE datname = current_database() AND application_name LIKE 'coffre events%'`)
			}
			for {
				_, err := s.Append(t.Context(), some1(eventstore.Stream(fmt.Sprint("consent-", name))))
				if errors.Is(err, eventstore.ErrFailed) {
					break
				}
				if !errors.Is(err, eventstore.ErrOutcomeUnknown) && !errors.Is(err, eventstore.ErrUnavailable) {
					t.Fatalf("%v, want ErrFailed", err)
				}
			}
			if n, err := readAll(t.Context(), s); err != nil || n != 2 {
				t.Fatalf("%d records, %v", n, err)
			}
		})
	}
}
