package postgres

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

// The server that is written to dies, and its synchronous replica takes over: writers
// and a tail go on there by themselves, and nothing that was acknowledged is missing.
func TestFailover(t *testing.T) {
	primary := pgtest.Start(t)
	dsn := primary.Database(t)
	standby := primary.Standby(t)
	s := openStore(t, pgtest.Via(t, dsn, standby.Addr()+","+primary.Addr()), Options{})

	var mu sync.Mutex
	acknowledged := map[eventstore.Stream]eventstore.Appended{}
	done := make(chan struct{})
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for n := 0; ; n++ {
				b := eventstore.Batch{Stream: eventstore.Stream(fmt.Sprintf("consent-%d-%d", i, n)), Expected: eventstore.NoStream, Records: storetest.Records(2)}
				var at eventstore.Appended
				for {
					var err error
					if at, err = s.Append(t.Context(), b); err == nil {
						break
					}
					if !errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
						t.Error(err)
						return
					}
					<-time.After(5 * time.Millisecond)
				}
				mu.Lock()
				acknowledged[b.Stream] = at
				mu.Unlock()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	tailed := make(chan error, 1)
	go func() {
		after := eventstore.Position{}
		for {
			for r, err := range eventstore.Tail(t.Context(), s, after) {
				if err != nil {
					if !errors.Is(err, eventstore.ErrUnavailable) {
						tailed <- err
						return
					}
					<-time.After(5 * time.Millisecond)
					break
				}
				if r.Position != dense.Position(int64(after.Commit)+1) {
					tailed <- fmt.Errorf("%v follows %v", r.Position, after)
					return
				}
				after = r.Position
				if r.Stream == "marker-1" {
					tailed <- nil
					return
				}
			}
		}
	}()
	enough := func(n int) {
		for {
			mu.Lock()
			have := len(acknowledged)
			mu.Unlock()
			if have >= n || t.Failed() {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	enough(200)
	primary.Crash(t)
	standby.Promote(t)
	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	enough(before + 200)
	close(done)
	writing.Wait()
	mustAppend(t, s, some1("marker-1"))
	if err := <-tailed; err != nil {
		t.Fatal(err)
	}
	for name, at := range acknowledged {
		var found []eventstore.Record
		for r, err := range s.ReadStream(t.Context(), name, 0) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, r)
		}
		if len(found) != 2 || found[1].Position != at.Position {
			t.Fatalf("%s was acknowledged at %v and has %d records", name, at.Position, len(found))
		}
	}
	if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
		t.Fatalf("%v, %v", damaged, err)
	}
}
