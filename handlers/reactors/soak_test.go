package reactors

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/memory"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
)

// process is a router with connections of its own, as another process has.
type process struct {
	db     *DB
	leases *pgdb.Session
	cancel context.CancelFunc
	ended  chan error
}

// startProcess runs the reactor in a process of its own.
func startProcess(t *testing.T, dsn string, log *eventstore.Log, reactor func(*DB) Reactor) *process {
	t.Helper()
	db, err := OpenPostgres(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	leases, err := pgdb.OpenSession(dsn)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRouter(RouterOptions{
		DB: db, Log: log, Reactors: []Reactor{reactor(db)}, Logger: silent,
		Backoff: Backoff{First: 10 * time.Millisecond, Max: time.Second},
		Lease: func(ctx context.Context, part int) (context.Context, func(), error) {
			return leases.Acquire(ctx, "reactors/"+strconv.Itoa(part))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{db, leases, cancel, make(chan error, 1)}
	go func() { p.ended <- r.Run(ctx) }()
	<-r.Running()
	return p
}

// kill takes every connection from the process, in the middle of whatever it does.
func (p *process) kill() {
	_ = p.leases.Close()
	_ = p.db.Close()
	p.cancel()
	<-p.ended // what it says of the connections does not matter
}

// end ends the process in order.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		t.Error(err)
	}
	if err := p.leases.Close(); err != nil {
		t.Error(err)
	}
	if err := p.db.Close(); err != nil {
		t.Error(err)
	}
}

// R10, R11: events to a handler of which one try in ten fails and one in a hundred hangs, in
// three processes that are killed five times in turn: each event has one effect, in the order
// of its citizen, and nothing is set aside.
func TestR11_effectsHappenOnceWhateverIsKilled(t *testing.T) {
	const people = 47 // shares no divisor with the hundred below: failures meet every citizen alike
	events, hang := 1500, 50*time.Millisecond
	if os.Getenv("COFFRE_SOAK") != "" {
		events, hang = 100_000, 100*time.Millisecond
	}
	dsn := pgtest.Shared(t).Database(t)
	db, err := OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ensure(t.Context(), `
		CREATE TABLE IF NOT EXISTS effects (event BLOB NOT NULL PRIMARY KEY, citizen BLOB NOT NULL, n INTEGER NOT NULL) STRICT;
		CREATE INDEX IF NOT EXISTS effects_of ON effects (citizen, n);`); err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	log := logOver(store)
	appendMany(t, store, events, people)

	var tries, disorder atomic.Int64
	var handled sync.Map // by event: it was tried
	reactor := func(db *DB) Reactor {
		return Reactor{Name: "soak", Topics: []string{"document"}, Timeout: hang, Handle: func(ctx context.Context, n Notice) (Effect, error) {
			tries.Add(1)
			if _, again := handled.LoadOrStore(n.ID, true); !again {
				switch n.Leaf % 100 {
				case 7: // it hangs
					<-ctx.Done()
					return Effect{}, ctx.Err()
				case 1, 13, 25, 37, 49, 51, 63, 75, 87, 99:
					return Effect{}, errOwn
				}
			}
			return Effect{Store: func(ctx context.Context, tx *sqlx.Tx) error {
				var last int64
				if err := tx.GetContext(ctx, &last, tx.Rebind(`SELECT coalesce(max(n), -1) FROM effects WHERE citizen = ?`), n.Citizen.UUID[:]); err != nil {
					return fmt.Errorf("%w: %w", ErrLater, err)
				}
				if last >= n.Leaf {
					disorder.Add(1)
				}
				if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO effects (event, citizen, n) VALUES (?, ?, ?)`), n.ID[:], n.Citizen.UUID[:], n.Leaf); err != nil {
					return fmt.Errorf("%w: %w", ErrLater, err)
				}
				return nil
			}}, nil
		}}
	}
	running := make([]*process, 3)
	for i := range running {
		running[i] = startProcess(t, dsn, log, reactor)
	}
	count := func() (n int) {
		t.Helper()
		if err := db.Reader().Get(&n, `SELECT count(*) FROM effects`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	reach := func(n int) {
		t.Helper()
		for last, since := -1, time.Now(); ; {
			now := count()
			if now >= n {
				return
			}
			if now != last {
				last, since = now, time.Now()
			} else if time.Since(since) > 2*time.Minute {
				t.Fatalf("nothing happened for two minutes at %d of %d effects", now, n)
			}
			_ = Pause(t.Context(), 50*time.Millisecond)
		}
	}
	for kill := range 5 {
		reach((kill + 1) * events / 7)
		i := kill % len(running)
		running[i].kill()
		running[i] = startProcess(t, dsn, log, reactor)
	}
	reach(events)
	for _, p := range running {
		p.end(t)
	}
	if n := count(); n != events {
		t.Errorf("%d effects of %d events", n, events)
	}
	if n := disorder.Load(); n != 0 {
		t.Errorf("%d effects came after one of a later event of the same citizen", n)
	}
	aside, err := db.Poisoned(t.Context(), "", 10)
	if err != nil || len(aside) != 0 {
		t.Errorf("set aside: %+v, %v", aside, err)
	}
	t.Logf("%d events in %d tries", events, tries.Load())
}

// appendMany appends events of many people in turn, each to a document of theirs.
func appendMany(t *testing.T, store eventstore.Store, events, people int) {
	t.Helper()
	meta, err := json.Marshal(eventstore.Meta{SchemaVersion: 1})
	if err != nil {
		t.Fatal(err)
	}
	for n := range events {
		person := domain.CitizenID{UUID: uuid.UUID{byte(n % people), 1}}
		r := eventstore.Record{ID: uuid.New(), Type: "document.updated/1", Time: time.Now().UTC().Truncate(time.Microsecond), Meta: meta, Clear: fmt.Appendf(nil, `{"citizen":%q}`, person)}
		stream := eventstore.Stream(fmt.Sprintf("document-%d", n%people))
		if _, err := store.Append(t.Context(), eventstore.Batch{Stream: stream, Expected: eventstore.Any, Records: []eventstore.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
}
