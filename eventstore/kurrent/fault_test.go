package kurrent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/faulty/faultnet"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
	"coffre/eventstore/storetest"
)

// proxied stands a proxy before a server of s.
func proxied(t testing.TB, s eventstore.Store) *faultnet.Proxy {
	t.Helper()
	p, err := faultnet.New(serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func opened(t testing.TB, address string, o kurrent.Options) *kurrent.Store {
	t.Helper()
	s := open(t, address, o)
	t.Cleanup(func() { s.Close() })
	return s
}

func soak(quick, long int) int {
	if os.Getenv("COFFRE_SOAK") == "1" {
		return long
	}
	return quick
}

// A store beneath that fails by no rule is the store.
func TestStoreOverQuietFaults(t *testing.T) {
	storetest.Run(t, harness(func(testing.TB) eventstore.Store { return faulty.New(memory.New(), nil) }, nil))
}

// A network that is slow changes nothing but how long it takes.
func TestStoreOverSlowNetworkSoak(t *testing.T) {
	if soak(0, 1) == 0 {
		t.Log("the whole suite over a slow network runs with COFFRE_SOAK=1")
		return
	}
	// Waiting twenty times as long shows nothing more.
	storetest.Run(t, storetest.Harness{Repeats: true, Open: func(t testing.TB) eventstore.Store {
		p := proxied(t, memory.New())
		p.Delay(50 * time.Microsecond) // each way, and as long again as a timer takes
		return open(t, p.Addr(), kurrent.Options{MaxAppend: 16 << 20})
	}})
}

// cutting is a store whose appends, every few of them, cost the connection once they
// have happened: the caller never hears of them (commit unknown).
type cutting struct {
	eventstore.Store
	every int64
	n     atomic.Int64
	proxy atomic.Pointer[faultnet.Proxy]
}

func (c *cutting) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	done, err := c.Store.Append(context.WithoutCancel(ctx), b)
	if c.n.Add(1)%c.every == 0 {
		c.proxy.Load().Cut()
	}
	return done, err
}

// TestCutAfterCommit loses the answers to appends, each with all that is on the wire.
// Every append must be acknowledged, and be there once.
func TestCutAfterCommit(t *testing.T) {
	inner := memory.New()
	c := &cutting{Store: inner, every: 23}
	p := proxied(t, c)
	c.proxy.Store(p)
	s := opened(t, p.Addr(), kurrent.Options{})
	const writers = 16
	var wg sync.WaitGroup
	acknowledged := make([][]uuid.UUID, writers)
	for i := range writers {
		wg.Go(func() {
			for n := range soak(12, 200) {
				records := storetest.Records(1 + n%3)
				name, e := eventstore.Stream(fmt.Sprintf("consent-%d", i%5)), eventstore.Any // with more than one writer
				if n%2 == 0 {
					name, e = eventstore.Stream(fmt.Sprintf("document-%d-%d", i, n)), eventstore.NoStream
				}
				done, err := s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: e, Records: records})
				if errors.Is(err, eventstore.ErrOutcomeUnknown) { // settled by the caller, as the port says
					done, err = s.Append(t.Context(), eventstore.Batch{Stream: name, Expected: e, Records: records})
				}
				if err != nil || int(done.Last-done.First) != len(records)-1 {
					t.Errorf("append: %+v, %v", done, err)
					return
				}
				for _, r := range records {
					acknowledged[i] = append(acknowledged[i], r.ID)
				}
			}
		})
	}
	wg.Wait()
	there := map[uuid.UUID]int{}
	for r, err := range inner.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		there[r.ID]++
	}
	all := slices.Concat(acknowledged...)
	for _, id := range all {
		if there[id] != 1 {
			t.Fatalf("an acknowledged record is there %d times", there[id])
		}
	}
	if len(there) != len(all) || c.n.Load() < c.every {
		t.Fatalf("%d records are there, %d were acknowledged, after %d appends", len(there), len(all), c.n.Load())
	}
}

// TestBlackhole lets nothing through: every call must end with its context, say
// truly what it knows, and all must go on when the network does.
func TestBlackhole(t *testing.T) {
	inner := memory.New()
	p := proxied(t, inner)
	s := opened(t, p.Addr(), kurrent.Options{})
	first, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.NoStream, Records: storetest.Records(1)})
	if err != nil {
		t.Fatal(err)
	}
	for range soak(1, 5) {
		p.Blackhole()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		lost := storetest.Records(2)
		lostBatch := eventstore.Batch{Stream: "consent-2", Expected: eventstore.Any, Records: lost}
		atOnce := storetest.Records(2)
		exactly := eventstore.Batch{Stream: eventstore.Stream("document-" + atOnce[0].ID.String()), Expected: eventstore.NoStream, Records: atOnce}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Append(ctx, lostBatch); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
				t.Errorf("append after anything: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := s.Append(ctx, exactly); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
				t.Errorf("append on the wire: %v, want ErrOutcomeUnknown", err)
			}
		})
		wg.Go(func() {
			for _, err := range s.ReadStream(ctx, "consent-1", 0) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("read: %v", err)
				}
			}
		})
		wg.Go(func() {
			if _, err := s.Head(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("head: %v", err)
			}
		})
		wg.Go(func() {
			if err := s.Wait(ctx, eventstore.Position{Commit: 1 << 40}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("wait: %v", err)
			}
		})
		wg.Wait()
		cancel()
		p.Heal()
		for _, b := range []eventstore.Batch{lostBatch, exactly} { // what may have happened is settled by its ids
			if _, err := s.Append(t.Context(), b); err != nil {
				t.Fatalf("repeated: %v", err)
			}
		}
		for r, err := range s.ReadStream(t.Context(), "consent-1", 0) {
			if err != nil || r.Position != first.Position {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	}
	seen := map[uuid.UUID]int{}
	for r, err := range inner.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if seen[r.ID]++; err != nil || seen[r.ID] > 1 {
			t.Fatalf("a record is there %d times, %v", seen[r.ID], err)
		}
	}
}

// TestServerAway: with nobody there, opening and every call end within the store's
// patience and say so; when the server is back, everything goes on.
func TestServerAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	o := kurrent.Options{Patience: 100 * time.Millisecond}
	if s, err := kurrent.Open(t.Context(), "esdb://"+address+"?tls=false", o); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("%v, %v, want ErrUnavailable", s, err)
	}
	p := proxied(t, memory.New())
	s := opened(t, p.Addr(), o)
	if _, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.Any, Records: storetest.Records(1)}); err != nil {
		t.Fatal(err)
	}
	p.Refuse()
	for refused := false; !refused; { // until the loss was noticed
		_, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.Any, Records: storetest.Records(1)})
		switch {
		case errors.Is(err, eventstore.ErrUnavailable):
			refused = true
		case !errors.Is(err, eventstore.ErrOutcomeUnknown):
			t.Fatalf("append: %v", err)
		}
	}
	if _, err := s.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("head: %v", err)
	}
	for _, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1) {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("read: %v", err)
		}
	}
	p.Heal()
	for {
		_, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.StreamExists, Records: storetest.Records(1)})
		if err == nil {
			break
		}
		if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatalf("append after it is back: %v", err)
		}
	}
}

// restarting is a server that stops and starts again on the same port.
type restarting struct {
	t      testing.TB
	store  eventstore.Store
	addr   string
	server *wire.Server
	served chan error
}

func (r *restarting) start() {
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Errorf("listen again: %v", err)
		return
	}
	r.addr = l.Addr().String()
	r.server, r.served = wire.New(wire.Options{Store: r.store, Append: true}), make(chan error, 1)
	go func() { r.served <- r.server.Serve(l) }()
}

func (r *restarting) stop() {
	r.server.Close()
	if err := <-r.served; err != nil {
		r.t.Errorf("serve: %v", err)
	}
}

// TestRestartsUnderLiveTails restarts the server again and again while eight readers
// follow and sixteen writers append, from two stores, as two vault processes have
// them: every reader sees every record once, in order, and none is lost.
func TestRestartsUnderLiveTails(t *testing.T) {
	r := &restarting{t: t, store: memory.New(), addr: "127.0.0.1:0"}
	r.start()
	defer func() { r.stop() }()
	stores := []*kurrent.Store{opened(t, r.addr, kurrent.Options{}), opened(t, r.addr, kurrent.Options{})}
	const readers, writers = 8, 16
	perWriter := soak(15, 300)
	const last = "last-0"
	var reading, writing sync.WaitGroup
	seen := make([][]eventstore.Position, readers)
	for i := range readers {
		reading.Go(func() {
			var after eventstore.Position
			for {
				for r, err := range eventstore.Tail(t.Context(), stores[i%2], after) {
					if errors.Is(err, eventstore.ErrUnavailable) {
						break // and on from where it was
					}
					if err != nil {
						t.Errorf("reader %d: %v", i, err)
						return
					}
					after = r.Position
					seen[i] = append(seen[i], after)
					if r.Stream == last {
						return
					}
				}
			}
		})
	}
	var acknowledged atomic.Int64
	progress := make(chan struct{}, 1)
	for i := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			for range perWriter {
				b := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d", random.IntN(20))), Expected: eventstore.Any, Records: storetest.Records(1 + random.IntN(2))}
				if !insist(t, stores[i%2], b) {
					return
				}
				acknowledged.Add(int64(len(b.Records)))
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	done := make(chan struct{})
	var restarts sync.WaitGroup
	restarts.Go(func() {
		for n := 0; n < 3 || !closed(done); n++ {
			for range 20 { // it did some work in between
				select {
				case <-progress:
				case <-done:
				}
			}
			r.stop()
			r.start()
		}
	})
	writing.Wait()
	close(done)
	restarts.Wait()
	insist(t, stores[0], eventstore.Batch{Stream: last, Expected: eventstore.NoStream, Records: storetest.Records(1)})
	reading.Wait()
	var want []eventstore.Position
	for record, err := range r.store.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, record.Position)
	}
	if int64(len(want)) != acknowledged.Load()+1 {
		t.Errorf("%d records are there, %d were acknowledged", len(want), acknowledged.Load()+1)
	}
	for i := range seen {
		if !slices.Equal(seen[i], want) {
			t.Errorf("reader %d saw %d records, %d are there, or in another order", i, len(seen[i]), len(want))
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// insist appends as callers of the port do: again, with the same ids, until it is known.
func insist(t *testing.T, s eventstore.Store, b eventstore.Batch) bool {
	for {
		_, err := s.Append(t.Context(), b)
		switch {
		case err == nil:
			return true
		case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, eventstore.ErrOutcomeUnknown):
			continue
		}
		t.Errorf("append: %v", err)
		return false
	}
}
