package requests_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/requests"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// clock is set by hand.
type clock struct{ at atomic.Pointer[time.Time] }

func newClock() *clock {
	c := &clock{}
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c.at.Store(&start)
	return c
}

func (c *clock) Now() time.Time { return *c.at.Load() }

func (c *clock) advance(d time.Duration) {
	next := c.Now().Add(d)
	c.at.Store(&next)
}

type env struct {
	dir   string
	dsn   string // of a PostgreSQL; "" for a file
	db    *keysdb.DB
	table *requests.Table
	clock *clock
}

func open(t testing.TB) *env {
	t.Helper()
	e := &env{dir: t.TempDir(), clock: newClock()}
	e.reopen(t)
	return e
}

// onEach runs a test on a file and on a PostgreSQL.
func onEach(t *testing.T, test func(t *testing.T, e *env)) {
	t.Run("SQLite", func(t *testing.T) { test(t, open(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		e := &env{dir: t.TempDir(), dsn: pgtest.Shared(t).Database(t), clock: newClock()}
		e.reopen(t)
		test(t, e)
	})
}

func (e *env) reopen(t testing.TB) {
	t.Helper()
	if e.db != nil {
		if err := e.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if e.dsn == "" {
		e.db = ringtest.OpenDB(t, e.dir)
	} else {
		e.db = ringtest.OpenPostgres(t, e.dsn)
	}
	ring := ringtest.OpenRing(t, e.db, ringtest.OpenKeeper(t, e.dir), seal.Config{})
	var err error
	if e.table, err = requests.Open(t.Context(), e.db, ring.DeploymentKey(seal.RequestKey).MAC, e.clock.Now); err != nil {
		t.Fatal(err)
	}
}

const lease = 30 * time.Second

func request(key uuid.UUID) requests.Request {
	return requests.Request{Owner: "0206731645", Operation: "issueDocument", Key: key, Body: []byte(`{"ssin":"85073003328"}`), Lease: lease}
}

func begin(t *testing.T, e *env, r requests.Request, want requests.Standing) requests.Outcome {
	t.Helper()
	o, err := e.table.Begin(t.Context(), r)
	if err != nil || o.Standing != want {
		t.Fatalf("standing %d, want %d: %v", o.Standing, want, err)
	}
	return o
}

func refused(t *testing.T, e *env, r requests.Request, want error) {
	t.Helper()
	if o, err := e.table.Begin(t.Context(), r); !errors.Is(err, want) || o.Standing != 0 {
		t.Fatalf("standing %d and %v, want %v", o.Standing, err, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFirstAnswerIsRepeated(t *testing.T) { onEach(t, firstAnswerIsRepeated) }

func firstAnswerIsRepeated(t *testing.T, e *env) {
	r := request(uuid.New())
	o := begin(t, e, r, requests.Fresh)
	refused(t, e, r, requests.ErrInFlight)
	result := []byte("ids")
	check(t, e.table.Finish(o.Claim, 201, result))
	result[0] = 'X' // the caller's own
	for range 2 {
		again := begin(t, e, r, requests.Repeat)
		if again.Status != 201 || string(again.Result) != "ids" || !again.Since.Equal(o.Since) {
			t.Fatalf("%+v", again)
		}
		e.reopen(t)
	}
	// The first answer stands.
	check(t, e.table.Finish(o.Claim, 500, nil))
	check(t, e.table.Abandon(o.Claim))
	if again := begin(t, e, r, requests.Repeat); again.Status != 201 {
		t.Fatal(again.Status)
	}
}

func TestKeyBelongsToOwnerAndOperation(t *testing.T) { onEach(t, keyBelongsToOwnerAndOperation) }

func keyBelongsToOwnerAndOperation(t *testing.T, e *env) {
	key := uuid.New()
	r := request(key)
	begin(t, e, r, requests.Fresh)
	other := request(key)
	other.Owner = "0308357159"
	begin(t, e, other, requests.Fresh)
	other = request(key)
	other.Operation = "revokeDocument"
	begin(t, e, other, requests.Fresh)
	other = request(key)
	other.Owner, other.Operation = r.Owner+r.Operation[:1], r.Operation[1:]
	begin(t, e, other, requests.Fresh)
	begin(t, e, request(uuid.New()), requests.Fresh)
}

func TestOtherBodyIsRefused(t *testing.T) { onEach(t, otherBodyIsRefused) }

func otherBodyIsRefused(t *testing.T, e *env) {
	r := request(uuid.New())
	o := begin(t, e, r, requests.Fresh)
	other := r
	other.Body = append(bytes.Clone(r.Body), ' ')
	refused(t, e, other, requests.ErrKeyReuse)
	check(t, e.table.Finish(o.Claim, 201, nil))
	refused(t, e, other, requests.ErrKeyReuse)
	begin(t, e, r, requests.Repeat)
}

func TestLeaseEndsWithoutAWord(t *testing.T) { onEach(t, leaseEndsWithoutAWord) }

func leaseEndsWithoutAWord(t *testing.T, e *env) {
	r := request(uuid.New())
	first := begin(t, e, r, requests.Fresh)
	e.clock.advance(lease - time.Microsecond)
	refused(t, e, r, requests.ErrInFlight)
	e.clock.advance(time.Microsecond)
	second := begin(t, e, r, requests.Unfinished)
	refused(t, e, r, requests.ErrInFlight) // the second attempt has a lease of its own

	// The first comes back from the dead: it must not undo the second.
	check(t, e.table.Abandon(first.Claim))
	check(t, e.table.Finish(first.Claim, 500, nil))
	refused(t, e, r, requests.ErrInFlight)
	check(t, e.table.Finish(second.Claim, 200, []byte("found")))
	if o := begin(t, e, r, requests.Repeat); o.Status != 200 {
		t.Fatal(o.Status)
	}
}

func TestAbandonedKeyIsFree(t *testing.T) { onEach(t, abandonedKeyIsFree) }

func abandonedKeyIsFree(t *testing.T, e *env) {
	r := request(uuid.New())
	o := begin(t, e, r, requests.Fresh)
	check(t, e.table.Abandon(o.Claim))
	other := r
	other.Body = nil // refused for its body: the corrected one may come under the same key
	begin(t, e, other, requests.Fresh)
}

func TestRestartEndsLeases(t *testing.T) { onEach(t, restartEndsLeases) }

func restartEndsLeases(t *testing.T, e *env) {
	r, finished := request(uuid.New()), request(uuid.New())
	begin(t, e, r, requests.Fresh)
	check(t, e.table.Finish(begin(t, e, finished, requests.Fresh).Claim, 201, nil))
	e.reopen(t)
	refused(t, e, r, requests.ErrInFlight)
	check(t, e.table.EndLeases(t.Context()))
	begin(t, e, r, requests.Unfinished)
	begin(t, e, finished, requests.Repeat)
}

// One of several processes that starts again ends its own leases and nobody else's.
func TestRestartOfOneOfSeveral(t *testing.T) { onEach(t, restartOfOneOfSeveral) }

func restartOfOneOfSeveral(t *testing.T, e *env) {
	all := e.table
	mine, other := all.HeldBy(uuid.New()), all.HeldBy(uuid.New())
	a, b, both := request(uuid.New()), request(uuid.New()), request(uuid.New())
	e.table = mine
	begin(t, e, a, requests.Fresh)
	begin(t, e, both, requests.Fresh)
	e.table = other
	begin(t, e, b, requests.Fresh)
	e.clock.advance(lease)
	begin(t, e, both, requests.Unfinished) // taken over
	begin(t, e, b, requests.Unfinished)
	e.table = mine
	begin(t, e, a, requests.Unfinished)
	check(t, mine.EndLeases(t.Context()))
	begin(t, e, a, requests.Unfinished)
	refused(t, e, b, requests.ErrInFlight)
	refused(t, e, both, requests.ErrInFlight)
	check(t, all.EndLeases(t.Context()))
	begin(t, e, b, requests.Unfinished)
}

// A full disk keeps the room that is left for what must pass.
func TestOnlyReservedRequestsBeginWhenRoomIsShort(t *testing.T) {
	e := open(t)
	short := true
	e.table = e.table.RefusingWhen(func() bool { return short })
	refused(t, e, request(uuid.New()), eventstore.ErrDiskFull)
	withdrawal := request(uuid.New())
	withdrawal.Class = eventstore.Reserved
	begin(t, e, withdrawal, requests.Fresh)
	short = false
	begin(t, e, request(uuid.New()), requests.Fresh)
}

// Where the log lost its end, whoever repeats a request of then looks in the log before
// they believe that it was answered.
func TestDoubtedRequestsAreUnfinished(t *testing.T) { onEach(t, doubtedRequestsAreUnfinished) }

func doubtedRequestsAreUnfinished(t *testing.T, e *env) {
	answered := func(r requests.Request) {
		check(t, e.table.Finish(begin(t, e, r, requests.Fresh).Claim, 201, []byte("id")))
	}
	before, after, inFlight := request(uuid.New()), request(uuid.New()), request(uuid.New())
	answered(before)
	e.clock.advance(time.Second)
	since := e.clock.Now()
	answered(after)
	begin(t, e, inFlight, requests.Fresh)
	if n, err := e.table.DoubtSince(t.Context(), since); err != nil || n != 1 {
		t.Errorf("%d finished requests are doubted, %v", n, err)
	}
	begin(t, e, before, requests.Repeat)
	begin(t, e, after, requests.Unfinished)
	begin(t, e, inFlight, requests.Unfinished)
}

func TestForgottenAfterSevenDays(t *testing.T) { onEach(t, forgottenAfterSevenDays) }

func forgottenAfterSevenDays(t *testing.T, e *env) {
	old, kept := request(uuid.New()), request(uuid.New())
	check(t, e.table.Finish(begin(t, e, old, requests.Fresh).Claim, 201, []byte("old")))
	e.clock.advance(requests.Life - time.Microsecond)
	begin(t, e, old, requests.Repeat)
	check(t, e.table.Finish(begin(t, e, kept, requests.Fresh).Claim, 201, []byte("kept")))
	e.clock.advance(time.Microsecond)
	other := old
	other.Body = []byte("another")
	o := begin(t, e, other, requests.Fresh) // not purged yet, and free all the same
	check(t, e.table.Finish(o.Claim, 202, nil))
	begin(t, e, kept, requests.Repeat)

	e.clock.advance(requests.Life - time.Microsecond)
	if n, err := e.table.Purge(t.Context()); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	begin(t, e, kept, requests.Fresh)
	begin(t, e, other, requests.Repeat)
}

func TestPurgeInBatches(t *testing.T) { onEach(t, purgeInBatches) }

func purgeInBatches(t *testing.T, e *env) {
	var wg sync.WaitGroup
	for range 25 {
		wg.Go(func() {
			for range 100 {
				if _, err := e.table.Begin(t.Context(), request(uuid.New())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	e.clock.advance(requests.Life)
	if n, err := e.table.Purge(t.Context()); err != nil || n != 2500 {
		t.Fatal(n, err)
	}
}

func TestRaceForOneKey(t *testing.T) { onEach(t, raceForOneKey) }

func raceForOneKey(t *testing.T, e *env) {
	for range 10 {
		r := request(uuid.New())
		outcomes := race(t, e, r)
		if outcomes[requests.Fresh] != 1 || outcomes[0] != 63 {
			t.Fatal(outcomes)
		}
		e.clock.advance(lease)
		if outcomes = race(t, e, r); outcomes[requests.Unfinished] != 1 || outcomes[0] != 63 {
			t.Fatal(outcomes)
		}
	}
}

// race counts the kinds of 64 concurrent attempts; 0 stands for in flight.
func race(t *testing.T, e *env, r requests.Request) map[requests.Standing]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes := map[requests.Standing]int{}
	for range 64 {
		wg.Go(func() {
			o, err := e.table.Begin(t.Context(), r)
			if err != nil && !errors.Is(err, requests.ErrInFlight) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[o.Standing]++
		})
	}
	wg.Wait()
	return outcomes
}

func TestNobodyIsToldARepeatThatIsNotDurable(t *testing.T) {
	e := open(t)
	r := request(uuid.New())
	check(t, e.table.Finish(begin(t, e, r, requests.Fresh).Claim, 201, []byte("ids")))
	begin(t, e, r, requests.Repeat)
	// As after a kill: a copy of the files, taken the moment after the answer.
	copied := &env{dir: t.TempDir(), clock: e.clock}
	for _, name := range []string{"keys.db", "keys.db-wal", "kek.json"} {
		b, err := os.ReadFile(filepath.Join(e.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		check(t, os.WriteFile(filepath.Join(copied.dir, name), b, 0o600))
	}
	copied.reopen(t)
	if o := begin(t, copied, r, requests.Repeat); string(o.Result) != "ids" {
		t.Fatal("lost")
	}
}

func TestNothingInClear(t *testing.T) {
	e := open(t)
	r := request(uuid.New())
	check(t, e.table.Finish(begin(t, e, r, requests.Fresh).Claim, 201, []byte("ids")))
	begin(t, e, r, requests.Repeat)
	files, err := os.ReadDir(e.dir)
	check(t, err)
	ids := false
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(e.dir, f.Name()))
		check(t, err)
		ids = ids || bytes.Contains(b, []byte("ids"))
		for _, secret := range [][]byte{r.Body, []byte("85073003328"), []byte(r.Owner), r.Key[:], []byte(r.Key.String())} {
			if bytes.Contains(b, secret) {
				t.Errorf("%s holds what a request said in clear", f.Name())
			}
		}
	}
	if !ids {
		t.Fatal("the row is nowhere: this test sees nothing")
	}
}

func TestInvalid(t *testing.T) { onEach(t, invalid) }

func invalid(t *testing.T, e *env) {
	for _, spoil := range []func(*requests.Request){
		func(r *requests.Request) { r.Key = uuid.Nil },
		func(r *requests.Request) { r.Owner = "" },
		func(r *requests.Request) { r.Operation = "" },
		func(r *requests.Request) { r.Lease = 0 },
		func(r *requests.Request) { r.Lease = requests.MaxLease + 1 },
	} {
		r := request(uuid.New())
		spoil(&r)
		refused(t, e, r, eventstore.ErrInvalid)
	}
	o := begin(t, e, request(uuid.New()), requests.Fresh)
	if err := e.table.Finish(o.Claim, 200, make([]byte, requests.MaxResult+1)); !errors.Is(err, requests.ErrResultTooLarge) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.table.Begin(ctx, request(uuid.New())); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestEventIDs(t *testing.T) {
	key := uuid.MustParse("0192f0c1-7b1a-4c55-9f2e-3a5d6e7f8091")
	first := requests.EventID("0206731645", "issueDocument", key, 0)
	// For ever: stored ids are compared with these.
	if want := "885fa66b-ee7c-5f90-a8ad-02ac50ac8fab"; first.String() != want || first.Version() != 5 {
		t.Errorf("%s, want %s", first, want)
	}
	seen := map[uuid.UUID]bool{first: true}
	for _, other := range []uuid.UUID{
		requests.EventID("0206731645", "issueDocument", key, 1),
		requests.EventID("0206731645", "issueDocumen", key, 0),
		requests.EventID("0206731645i", "ssueDocument", key, 0),
		requests.EventID("0308357159", "issueDocument", key, 0),
		requests.EventID("0206731645", "issueDocument", uuid.UUID{1}, 0),
	} {
		if seen[other] {
			t.Error("two events share an id")
		}
		seen[other] = true
	}
}

func BenchmarkBegin64Callers(b *testing.B) {
	e := open(b)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := e.table.Begin(b.Context(), request(uuid.New())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBeginFinish64Callers(b *testing.B) {
	e := open(b)
	result := make([]byte, 64)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o, err := e.table.Begin(b.Context(), request(uuid.New()))
			if err == nil {
				err = e.table.Finish(o.Claim, 201, result)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// One key sent to two processes at once goes ahead in one of them, and what that one
// answered the other one repeats.
func TestTwoProcesses(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	dir, clock := t.TempDir(), newClock()
	keeper := ringtest.OpenKeeper(t, dir)
	var both [2]*env
	for i := range both {
		db := ringtest.OpenPostgres(t, dsn)
		ring := ringtest.OpenRing(t, db, keeper, seal.Config{})
		table, err := requests.Open(t.Context(), db, ring.DeploymentKey(seal.RequestKey).MAC, clock.Now)
		check(t, err)
		both[i] = &env{db: db, clock: clock, table: table.HeldBy(uuid.New())}
	}
	for range 20 {
		r := request(uuid.New())
		var wg sync.WaitGroup
		var went atomic.Int32
		for i := range 16 {
			wg.Go(func() {
				o, err := both[i%2].table.Begin(context.Background(), r)
				switch {
				case errors.Is(err, requests.ErrInFlight), err == nil && o.Standing == requests.Repeat:
				case err != nil || o.Standing != requests.Fresh:
					t.Errorf("standing %d: %v", o.Standing, err)
				default:
					went.Add(1)
					if err := both[i%2].table.Finish(o.Claim, 201, []byte("ids")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if went.Load() != 1 {
			t.Fatalf("%d went ahead", went.Load())
		}
		// What was posted by either is written before its own next change is answered.
		for _, e := range both {
			begin(t, e, request(uuid.New()), requests.Fresh)
		}
		for _, e := range both {
			if o := begin(t, e, r, requests.Repeat); string(o.Result) != "ids" {
				t.Fatal("another answer")
			}
		}
	}
}

// A changed bit in a request's row is named, in every column; whoever repeats that request
// is told that keys are unavailable, and no other.
func TestDamagedRequest(t *testing.T) {
	onEach(t, func(t *testing.T, e *env) {
		hurt, other := request(uuid.New()), request(uuid.New())
		for _, r := range []requests.Request{hurt, other} {
			o, err := e.table.Begin(t.Context(), r)
			check(t, err)
			check(t, e.table.Finish(o.Claim, 201, []byte("made")))
		}
		check(t, e.db.Frozen(t.Context(), func() error { return nil })) // behind what Finish queued
		ringtest.FlipOnly(t, e.db, "requests")
		rows := ringtest.Table(t, e.db, "requests")
		for _, column := range append(slices.Clone(rows.Columns), "mac") {
			if column == "id" {
				continue // not found by it any more: it is a new one, and its events are found in the log
			}
			undo, _ := ringtest.Flip(t, e.db, rows, column, func(n int64) bool { return n == 1 })
			if _, err := e.table.Begin(t.Context(), hurt); !errors.Is(err, eventstore.ErrKeysUnavailable) {
				t.Errorf("%s changed: %v", column, err)
			}
			if o, err := e.table.Begin(t.Context(), other); err != nil || o.Standing != requests.Repeat {
				t.Errorf("%s of another changed: %v", column, err)
			}
			undo()
			if o, err := e.table.Begin(t.Context(), hurt); err != nil || o.Standing != requests.Repeat || string(o.Result) != "made" {
				t.Errorf("%s is whole again: %v", column, err)
			}
		}
	})
}

// A new request key forgets nothing: what was answered, begun or refused under the former one
// is found under it, also by a process for which the new one is not in force yet.
func TestRequestKeyIsReplaced(t *testing.T) {
	onEach(t, func(t *testing.T, e *env) {
		under := func(key byte) func(parts ...[]byte) [32]byte {
			return func(parts ...[]byte) [32]byte {
				return sha256.Sum256(append([]byte{key}, bytes.Join(parts, []byte{0})...))
			}
		}
		process := func(mine, other byte) *env {
			table, err := requests.Open(t.Context(), e.db, under(mine), e.clock.Now)
			check(t, err)
			return &env{db: e.db, clock: e.clock, table: table.AlsoUnder(func() []func(parts ...[]byte) [32]byte {
				return []func(parts ...[]byte) [32]byte{under(other)}
			})}
		}
		ahead, behind := process(2, 1), process(1, 2)
		for _, p := range [][2]*env{{behind, ahead}, {ahead, behind}} {
			answered, open, refusedOne := request(uuid.New()), request(uuid.New()), request(uuid.New())
			check(t, p[0].table.Finish(begin(t, p[0], answered, requests.Fresh).Claim, 201, []byte(`"made"`)))
			begin(t, p[0], open, requests.Fresh)
			check(t, p[0].table.Abandon(begin(t, p[0], refusedOne, requests.Fresh).Claim))
			if o := begin(t, p[1], answered, requests.Repeat); o.Status != 201 || string(o.Result) != `"made"` {
				t.Errorf("%+v", o)
			}
			other := answered
			other.Body = []byte("{}")
			refused(t, p[1], other, requests.ErrKeyReuse)
			refused(t, p[1], open, requests.ErrInFlight)
			begin(t, p[1], refusedOne, requests.Fresh)
			e.clock.advance(lease + time.Second)
			again := begin(t, p[1], open, requests.Unfinished)
			check(t, p[1].table.Finish(again.Claim, 200, []byte(`"late"`)))
			if o := begin(t, p[0], open, requests.Repeat); string(o.Result) != `"late"` {
				t.Errorf("%+v", o)
			}
			e.clock.advance(requests.Life)
			begin(t, p[1], answered, requests.Fresh)
			refused(t, p[0], answered, requests.ErrInFlight)
		}
	})
}
