package pgdb_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
)

func session(t *testing.T, dsn string) *pgdb.Session {
	t.Helper()
	s, err := pgdb.OpenSession(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A lease has one holder of all processes. It ends with its holder's connection, which
// the holder learns, and passes on.
func TestLeaseHasOneHolder(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	first, second := session(t, dsn), session(t, dsn)
	held, release, err := first.Acquire(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*pgdb.Session{first, second} {
		if held, _, err := other.TryAcquire(t.Context(), "work", nil); err != nil || held != nil {
			t.Fatalf("it has a second holder: %v", err)
		}
	}
	if other, release, err := second.TryAcquire(t.Context(), "scrubber", nil); err != nil || other == nil {
		t.Fatalf("another lease is refused: %v", err)
	} else {
		release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := second.Acquire(ctx, "work"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	release()
	if held.Err() == nil {
		t.Fatal("it is held after its release")
	}

	held, release, err = second.Acquire(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	super := open(t, server.Superuser(t, dsn), pgdb.Options{Schema: "public"})
	if _, err := super.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the holder does not learn that its connection has ended")
	}
	release()
	_, release, err = first.Acquire(t.Context(), "work")
	if err != nil { // its connection was ended, too: the next call takes another
		_, release, err = first.Acquire(t.Context(), "work")
	}
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// A session hears of what others say otherwise, for as long as they last, and its own words outlive
// its connection.
func TestSayingsAreHeard(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	say := func(s *pgdb.Session, a, b, c string) string {
		t.Helper()
		others, err := s.Say(t.Context(), map[string]string{"a": a, "b": b, "c": c})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(others, " ")
	}
	first := session(t, dsn)
	if others := say(first, "1", "1", ""); others != "" {
		t.Errorf("alone it hears of %s", others)
	}
	if others := say(session(t, server.Database(t)), "2", "2", "2"); others != "" {
		t.Errorf("it hears of %s in another database", others)
	}
	if others := say(session(t, dsn), "1", "1", ""); others != "" {
		t.Errorf("of the same it hears as of another: %s", others)
	}
	second := session(t, dsn)
	if others := say(second, "2", "1", "1"); others != "a c" {
		t.Errorf("it hears of %q", others)
	}
	super := open(t, server.Superuser(t, dsn), pgdb.Options{Schema: "public"})
	if _, err := super.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	for { // until the sessions have noticed
		third := session(t, dsn)
		others := say(third, "3", "1", "")
		if err := third.Close(); err != nil {
			t.Fatal(err)
		}
		if others == "a c" {
			break
		}
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if others := say(session(t, dsn), "4", "1", ""); others != "a" {
		t.Errorf("of who has gone it hears, too: %q", others)
	}
}
