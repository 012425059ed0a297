package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// Of two sessions that say otherwise at the same moment at least one hears of it.
func TestSayingsAtOnceAreHeard(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	for round := range 20 {
		var heard atomic.Int64
		var connected, saying sync.WaitGroup
		connected.Add(2)
		both := []*pgdb.Session{session(t, dsn), session(t, dsn)}
		for n, s := range both {
			saying.Go(func() {
				if _, err := s.Share(t.Context(), "connected"); err != nil {
					t.Error(err)
				}
				connected.Done()
				connected.Wait()
				others, err := s.Say(t.Context(), map[string]string{"a": fmt.Sprint(n)})
				if err != nil {
					t.Error(err)
				}
				heard.Add(int64(len(others)))
			})
		}
		saying.Wait()
		if heard.Load() == 0 {
			t.Errorf("round %d: neither hears of the other", round)
		}
		for _, s := range both {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// What several sessions say alike is heard until the last of them is closed.
func TestWhatSeveralSayIsHeardOfTheLast(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	alike := []*pgdb.Session{session(t, dsn), session(t, dsn)}
	for _, s := range alike {
		if others, err := s.Say(t.Context(), map[string]string{"a": "1"}); err != nil || len(others) > 0 {
			t.Fatal(others, err)
		}
	}
	for left := len(alike); left >= 0; left-- {
		another := session(t, dsn)
		others, err := another.Say(t.Context(), map[string]string{"a": "2"})
		if err != nil || (len(others) > 0) != (left > 0) {
			t.Errorf("while %d say otherwise, another one hears of %q: %v", left, others, err)
		}
		for _, s := range append([]*pgdb.Session{another}, alike[:min(1, left)]...) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		alike = alike[min(1, left):]
	}
}
