package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/faulty/faultnet"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

// behind returns a database behind a proxy.
func behind(t *testing.T, server *pgtest.Server) (p *faultnet.Proxy, dsn, direct string) {
	t.Helper()
	p, err := faultnet.New(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	direct = server.Database(t)
	return p, pgtest.Via(t, direct, p.Addr()), direct
}

// proxied is a harness whose stores reach their server through p.
func proxied(server *pgtest.Server, p *faultnet.Proxy) storetest.Harness {
	dsns := map[eventstore.Store]string{}
	at := func(t testing.TB, dsn string) eventstore.Store {
		t.Helper()
		s, err := Open(t.Context(), dsn, Options{})
		if err != nil {
			t.Fatal(err)
		}
		dsns[s] = dsn
		return s
	}
	return storetest.Harness{
		Open: func(t testing.TB) eventstore.Store { return at(t, pgtest.Via(t, server.Database(t), p.Addr())) },
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return at(t, dsns[s])
		},
	}
}

// In a soak the whole contract is held to over a network that is slow to answer. It
// takes a minute or two; the storm below meets a slow network every time.
func TestStoreOverASlowNetworkSoak(t *testing.T) {
	if os.Getenv("COFFRE_SOAK") != "1" {
		return
	}
	server := pgtest.Shared(t)
	p, err := faultnet.New(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Delay(50 * time.Microsecond) // each way, and as long again as a timer takes
	h := proxied(server, p)
	h.Repeats = true // waiting twenty times as long shows nothing more
	storetest.Run(t, h)
}

// The network is slow, falls silent, loses answers and cuts connections while
// everybody works.
func TestStormOverABrokenNetworkSoak(t *testing.T) {
	server := pgtest.Shared(t)
	p, err := faultnet.New(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	moment := func(testing.TB) { <-time.After(300 * time.Millisecond) }
	h := proxied(server, p)
	h.Reopen = nil // that is the other storm's
	storetest.Storm{Harness: h, Disturb: []func(testing.TB){
		func(testing.TB) { p.Cut() },
		func(t testing.TB) {
			select {
			case <-p.LoseReply("COMMIT"):
			case <-time.After(time.Second): // the last writer has gone home
			}
			p.Heal()
		},
		func(t testing.TB) { p.Blackhole(); moment(t); p.Heal() },
		func(t testing.TB) { p.Refuse(); moment(t); p.Heal() },
		func(t testing.TB) { p.Delay(2 * time.Millisecond); moment(t); p.Heal() },
	}}.Run(t)
}

// A commit whose answer is lost is unknown to the writer, and settled by the ids.
func TestLostAnswerIsSettledByIDs(t *testing.T) {
	p, dsn, direct := behind(t, pgtest.Shared(t))
	s := openStore(t, dsn, Options{})
	straight := openStore(t, direct, Options{})
	want := 0
	for name, e := range map[string]func(eventstore.Revision) eventstore.Expected{
		"exact":  eventstore.Exact,
		"none":   func(eventstore.Revision) eventstore.Expected { return eventstore.NoStream },
		"any":    func(eventstore.Revision) eventstore.Expected { return eventstore.Any },
		"exists": func(eventstore.Revision) eventstore.Expected { return eventstore.StreamExists },
	} {
		stream, head := eventstore.Stream("consent-"+name), eventstore.Revision(-1)
		if name != "none" {
			head = mustAppend(t, s, some1(stream)).Last
			want++
		}
		b := eventstore.Batch{Stream: stream, Expected: e(head), Records: storetest.Records(3)}
		lost := p.LoseReply("COMMIT")
		if done, err := s.Append(t.Context(), b); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatalf("%s: %+v, %v, want ErrOutcomeUnknown", name, done, err)
		}
		<-lost
		want += 3
		for _, again := range []eventstore.Store{s, straight} {
			done, err := again.Append(t.Context(), b)
			if err != nil || !done.Repeated || done.First != head+1 || done.Position != dense.Position(int64(want)) {
				t.Fatalf("%s, repeated: %+v, %v, want the place at %d", name, done, err, want)
			}
		}
	}
	if n, err := readAll(t.Context(), s); err != nil || n != want {
		t.Fatalf("%d records, %v, want %d", n, err, want)
	}
}

// The same with many callers in one transaction, each of whom settles its own.
func TestLostAnswerOfManyCallers(t *testing.T) {
	p, dsn, _ := behind(t, pgtest.Shared(t))
	s := openStore(t, dsn, Options{})
	mustAppend(t, s, some1("consent-0"))
	lost := p.LoseReply("COMMIT")
	var mu sync.Mutex
	unknown := 0
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			b := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d", i%8)), Expected: eventstore.Any, Records: storetest.Records(2)}
			for {
				_, err := s.Append(t.Context(), b)
				switch {
				case err == nil:
					return
				case errors.Is(err, eventstore.ErrOutcomeUnknown):
					mu.Lock()
					unknown++
					mu.Unlock()
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	<-lost
	if unknown == 0 {
		t.Error("nobody's outcome was unknown: nothing was tested")
	}
	if n, err := readAll(t.Context(), s); err != nil || n != 1+64*2 {
		t.Errorf("%d records, %v, want %d", n, err, 1+64*2)
	}
}

// A server that says nothing any more holds nobody for longer than the bound, and a
// tail goes on where it was when it speaks again.
func TestSilentServer(t *testing.T) {
	p, dsn, direct := behind(t, pgtest.Shared(t))
	s := openStore(t, dsn, Options{answer: 500 * time.Millisecond})
	straight := openStore(t, direct, Options{})
	first := mustAppend(t, s, some1("consent-1"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tailed := make(chan eventstore.Record)
	go func() {
		after := eventstore.Position{}
		for ctx.Err() == nil {
			for r, err := range eventstore.Tail(ctx, s, after) {
				if err != nil {
					break
				}
				after = r.Position
				select {
				case tailed <- r:
				case <-ctx.Done():
				}
			}
		}
	}()
	if r := <-tailed; r.Position != first.Position {
		t.Fatalf("the tail begins at %v", r.Position)
	}

	p.Blackhole()
	b := some1("consent-1")
	if _, err := s.Append(t.Context(), b); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("an append under way: %v, want ErrOutcomeUnknown", err)
	}
	if _, err := s.Append(t.Context(), some1("consent-2")); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("an append afterwards: %v, want ErrUnavailable", err)
	}
	if _, err := s.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("head: %v, want ErrUnavailable", err)
	}
	if _, err := readAll(t.Context(), s); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	mustAppend(t, straight, some1("consent-3")) // from elsewhere, meanwhile

	p.Heal()
	for {
		_, err := s.Append(t.Context(), b) // settles what was under way
		if err == nil {
			break
		}
		if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatalf("healed: %v", err)
		}
	}
	seen := map[eventstore.Stream]int{"consent-1": 1}
	for range 2 {
		r := <-tailed
		seen[r.Stream]++
	}
	if seen["consent-1"] != 2 || seen["consent-3"] != 1 {
		t.Fatalf("the tail saw %v", seen)
	}
	if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
		t.Fatalf("%v, %v", damaged, err)
	}
}

// A server that is down refuses at once, and Close does not wait for it.
func TestServerDown(t *testing.T) {
	server := pgtest.Start(t)
	s := openStore(t, server.Database(t), Options{})
	done := mustAppend(t, s, some1("consent-1"))
	server.Stop(t)
	first := true
	for range 3 {
		_, err := s.Append(t.Context(), some1("consent-1"))
		if unknown := errors.Is(err, eventstore.ErrOutcomeUnknown); !errors.Is(err, eventstore.ErrUnavailable) && !(first && unknown) {
			t.Errorf("append: %v, want ErrUnavailable", err)
		}
		first = false
		if _, err := readAll(t.Context(), s); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("read: %v, want ErrUnavailable", err)
		}
	}
	// Whoever waits goes on waiting, through the outage.
	waited := make(chan error, 1)
	go func() { waited <- s.Wait(t.Context(), done.Position) }()
	server.Start(t)
	for {
		if _, err := s.Append(t.Context(), some1("consent-1")); err == nil {
			break
		} else if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// What another process commits wakes a reader, though no notification comes.
func TestPollingNeedsNoNotification(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	s := openStore(t, dsn, Options{})
	done := mustAppend(t, s, some1("consent-1"))
	mustExec(t, connect(t, dsn), `INSERT INTO eventlog.events (position, revision, time, id, stream, type, sum) VALUES (2, 0, 0, gen_random_uuid(), 'x', 'x', 'x')`)
	if err := s.Wait(t.Context(), done.Position); err != nil {
		t.Fatal(err)
	}
}

// And at once, though nobody polls, also on a connection that had to be made anew. A
// notification that promises too much is not believed.
func TestNotificationNeedsNoPolling(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	reading, writing := openStore(t, dsn, Options{poll: time.Hour}), openStore(t, dsn, Options{})
	head := eventstore.Position{}
	heard := func(t *testing.T) {
		t.Helper()
		done := mustAppend(t, writing, some1("consent-1"))
		if err := reading.Wait(t.Context(), head); err != nil {
			t.Fatal(err)
		}
		if got := dense.Position(reading.head.Load()); got != done.Position {
			t.Fatalf("the head is %v, want %v", got, done.Position)
		}
		head = done.Position
	}
	heard(t) // from here on it listens
	mustExec(t, connect(t, dsn), fmt.Sprintf(`NOTIFY %s, '1000000'`, channel))
	heard(t)
	mustExec(t, connect(t, pgtest.Shared(t).Superuser(t, dsn)), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'coffre events listener'`)
	heard(t)
}
