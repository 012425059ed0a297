package projections_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/projections"
	"coffre/projections/projectiontest"
)

// takeOver is how long a projection may rest when its runner is gone.
const takeOver = 10 * time.Second

// applied counts, over several processes, how often each leaf was taken in.
type applied struct {
	mu sync.Mutex
	by map[int64][]int
}

func (a *applied) process(n int, name string) *tally {
	p := documents(name)
	p.before = func(tx *projections.Tx, leaf int64) error {
		if tx.Building() {
			return nil
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.by[leaf] = append(a.by[leaf], n)
		return nil
	}
	return p
}

// last returns the process that took in the latest leaf.
func (a *applied) last() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var most int64 = -1
	for leaf := range a.by {
		most = max(most, leaf)
	}
	if most < 0 {
		return -1
	}
	return a.by[most][len(a.by[most])-1]
}

// waitAll waits until each process shows the whole log.
func waitAll(t *testing.T, w *projectiontest.World, name string, all ...*projectiontest.Running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), takeOver)
	defer cancel()
	head, err := w.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if err := r.WaitFor(ctx, name, head); err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
	}
}

// One process runs a projection, and all show it; when the runner ends, in order or
// by losing its connections, another goes on, and each leaf is taken in once.
func TestOneRunnerOfSeveralProcesses(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 3)
	counted := &applied{by: map[int64][]int{}}
	running, models := map[int]*projectiontest.Running{}, map[int]*tally{}
	for i := range 3 {
		models[i] = counted.process(i, "tally")
		running[i] = projectiontest.Start(t, w, dsn, models[i])
	}
	leaves := 6
	same := func() {
		t.Helper()
		history(t, w, 2)
		leaves += 4
		waitAll(t, w, "tally", slices.Collect(maps.Values(running))...)
		for i, m := range models {
			if got := m.leaves(t); !slices.Equal(got, upTo(leaves)) {
				t.Fatalf("process %d shows %v", i, got)
			}
		}
	}
	same()
	same()
	// The runner's locks go with its connection; it may even get them again.
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	for range 3 {
		if _, err := super.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		same()
	}
	for len(running) > 1 {
		gone := counted.last()
		running[gone].Stop()
		delete(running, gone)
		delete(models, gone)
		same()
	}
}

// A rebuild asked of a process that does not run the projection is seen by all, and
// the former generation goes when nobody uses it.
func TestRebuildByAnotherProcess(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 4)
	counted := &applied{by: map[int64][]int{}}
	a, b := counted.process(0, "tally"), counted.process(1, "tally")
	runner := projectiontest.Start(t, w, dsn, a)
	waitAll(t, w, "tally", runner)
	history(t, w, 1)
	waitAll(t, w, "tally", runner)
	follower := projectiontest.Start(t, w, dsn, b)
	waitAll(t, w, "tally", follower)
	if counted.last() != 0 {
		t.Fatal("the wrong one runs")
	}
	if err := follower.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, w, 1) // the runner is overtaken, and goes on in the new generation
	waitAll(t, w, "tally", runner, follower)
	for i, m := range []*tally{a, b} {
		if got := m.leaves(t); !slices.Equal(got, upTo(12)) {
			t.Fatalf("process %d shows %v", i, got)
		}
	}
	follower.Stop()
	runner.Stop()
	// Whoever starts next tidies up.
	again := projectiontest.Start(t, w, dsn, documents("tally"))
	tidied(t, w, dsn, again)
}

// tidied goes on until the runner has dropped every generation but one: the server may
// take a moment to see that those who had them open are gone.
func tidied(t *testing.T, w *projectiontest.World, dsn string, r *projectiontest.Running) {
	t.Helper()
	patience, cancel := context.WithTimeout(t.Context(), 3*takeOver)
	defer cancel()
	for {
		history(t, w, 1)
		waitAll(t, w, "tally", r)
		all := projectiontest.Schemas(t, dsn, "tally")
		if len(all) == 1 {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond): // of the runner's patrols
		case <-patience.Done():
			t.Fatal("still there: ", all)
		}
	}
}

// A new version is built beside the old one, which its own program goes on with.
func TestTwoVersionsSideBySide(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 3)
	old, young := documents("tally"), documents("tally")
	young.version = 2
	before := projectiontest.Start(t, w, dsn, old)
	waitAll(t, w, "tally", before)
	after := projectiontest.Start(t, w, dsn, young)
	waitAll(t, w, "tally", after)
	history(t, w, 2)
	waitAll(t, w, "tally", before, after)
	for _, m := range []*tally{old, young} {
		if got := m.leaves(t); !slices.Equal(got, upTo(10)) {
			t.Fatal(got)
		}
	}
	if all := projectiontest.Schemas(t, dsn, "tally"); len(all) != 2 {
		t.Fatal(all)
	}
	before.Stop()
	after.Stop()
	next := documents("tally")
	next.version = 2
	again := projectiontest.Start(t, w, dsn, next)
	tidied(t, w, dsn, again)
}

// What poisons the runner is told by every process.
func TestPoisonIsToldElsewhere(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 2)
	a, b := documents("tally"), documents("tally")
	for _, p := range []*tally{a, b} {
		p.before = func(_ *projections.Tx, leaf int64) error {
			if leaf == 5 {
				return errors.New("no")
			}
			return nil
		}
	}
	first := projectiontest.Start(t, w, dsn, a)
	waitAll(t, w, "tally", first)
	second := projectiontest.Start(t, w, dsn, b)
	waitAll(t, w, "tally", second)
	history(t, w, 2)
	head, err := w.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*projectiontest.Running{first, second} {
		ctx, cancel := context.WithTimeout(t.Context(), takeOver)
		var poisoned *projections.Poisoned
		if err := r.WaitFor(ctx, "tally", head); !errors.As(err, &poisoned) || poisoned.Leaf != 5 || poisoned.Type == "" {
			t.Fatal(err)
		}
		cancel()
		if s := status(t, r, "tally"); s.State != projections.PoisonedAt || s.PoisonedLeaf != 5 || s.Lag != 3 {
			t.Fatalf("%+v", s)
		}
	}
}

// A server that crashes and comes back costs time, and nothing else.
func TestServerOfTheModelsCrashes(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 3)
	p := documents("tally")
	r := projectiontest.Start(t, w, dsn, p)
	waitAll(t, w, "tally", r)
	for range 2 {
		server.Crash(t)
		history(t, w, 2)
		if _, err := p.view.Query(t.Context(), `SELECT leaf FROM seen`); !errors.Is(err, projections.ErrNotReady) {
			t.Fatalf("with the server gone: %v", err)
		}
		server.Start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*takeOver)
		head, err := w.Head(ctx)
		if err == nil {
			err = r.WaitFor(ctx, "tally", head)
		}
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := p.leaves(t); !slices.Equal(got, upTo(14)) {
		t.Fatal(got)
	}
}

// An older log than the tables know withdraws them.
func TestOlderLogOnPostgreSQL(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	w, older := projectiontest.NewWorld(), projectiontest.NewWorld()
	history(t, w, 3)
	history(t, older, 1)
	r := projectiontest.Start(t, w, dsn, documents("tally"))
	waitAll(t, w, "tally", r)
	r.Stop()
	p := documents("tally")
	r = projectiontest.Start(t, eventstore.Store(older), dsn, p)
	deadline, cancel := context.WithTimeout(t.Context(), takeOver)
	defer cancel()
	for {
		s := status(t, r, "tally")
		if s.State == projections.Live && s.Leaf == 1 {
			break
		}
		select {
		case <-deadline.Done():
			t.Fatalf("%+v", s)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if got := p.leaves(t); !slices.Equal(got, upTo(2)) {
		t.Fatal(got)
	}
}

// A runner that is stopped, or whose connection ends, within a transaction gives it
// up: nothing waits for ever, and nothing is half there.
func TestStoppedWithinATransaction(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	w := projectiontest.NewWorld()
	p := documents("tally")
	torn := map[int64]bool{}
	p.before = func(tx *projections.Tx, leaf int64) error {
		if leaf%3 != 2 || torn[leaf] || tx.Building() {
			return nil
		}
		torn[leaf] = true
		_, err := super.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		return err
	}
	r := projectiontest.Start(t, w, dsn, p)
	waitAll(t, w, "tally", r)
	for range 4 {
		history(t, w, 2)
		waitAll(t, w, "tally", r)
	}
	if got := p.leaves(t); !slices.Equal(got, upTo(16)) || len(torn) < 3 {
		t.Fatal(got, torn)
	}
	// And by its context, while a statement waits for a lock of somebody else's.
	schema := projectiontest.Schemas(t, dsn, "tally")[0]
	tx, err := super.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`LOCK TABLE ` + schema + `.seen`); err != nil {
		t.Fatal(err)
	}
	history(t, w, 1)
	stopped := make(chan struct{})
	go func() { r.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(3 * takeOver):
		t.Fatal("it waits for ever")
	}
}

// Read models of a database whose tables are all published go on. A generation that an
// older program made without a primary key gets one and is not built anew.
func TestPublishedTablesTakeEventsIn(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 2)
	older := projectiontest.Start(t, w, dsn, documents("tally"))
	waitAll(t, w, "tally", older)
	before := projectiontest.Schemas(t, dsn, "tally")
	if len(before) != 1 {
		t.Fatal(before)
	}
	if unkeyed := server.Unkeyed(t, dsn); len(unkeyed) > 0 {
		t.Errorf("without a primary key: %v", unkeyed)
	}
	older.Stop()
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	if _, err := super.Exec(`ALTER TABLE ` + before[0] + `.checkpoint DROP CONSTRAINT checkpoint_pkey`); err != nil {
		t.Fatal(err)
	}
	server.Publish(t, dsn)

	p := documents("tally")
	r := projectiontest.Start(t, w, dsn, p)
	history(t, w, 2)
	waitAll(t, w, "tally", r)
	if got := p.leaves(t); !slices.Equal(got, upTo(8)) {
		t.Fatal(got)
	}
	if after := projectiontest.Schemas(t, dsn, "tally"); !slices.Equal(after, before) {
		t.Errorf("generations %v became %v", before, after)
	}
	if err := r.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, w, 1)
	waitAll(t, w, "tally", r)
	if unkeyed := server.Unkeyed(t, dsn); len(unkeyed) > 0 {
		t.Errorf("without a primary key: %v", unkeyed)
	}
}

// Damage that a process meets which only follows, takes the tables out of force for the
// one that runs the projection, too, and all show what was built anew.
func TestDamageMetByAFollowerIsBuiltAnew(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	w := projectiontest.NewWorld()
	history(t, w, 3)
	counted := &applied{by: map[int64][]int{}}
	models := []*tally{counted.process(0, "tally"), counted.process(1, "tally")}
	running := []*projectiontest.Running{projectiontest.Start(t, w, dsn, models[0]), projectiontest.Start(t, w, dsn, models[1])}
	waitAll(t, w, "tally", running...)
	history(t, w, 1)
	waitAll(t, w, "tally", running...)
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	inForce := func() (generation int64) {
		t.Helper()
		if err := super.Get(&generation, `SELECT coalesce(max(generation), 0) FROM coffre_models.live`); err != nil {
			t.Fatal(err)
		}
		return generation
	}
	was := inForce()
	if _, err := super.Exec(`CREATE FUNCTION public.bad_page() RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001'; END $$`); err != nil {
		t.Fatal(err)
	}
	follower := models[1-counted.last()]
	err = follower.view.Each(t.Context(), `SELECT public.bad_page()`, nil, func(projections.Row) error { return nil })
	if !errors.Is(err, projections.ErrNotReady) {
		t.Fatalf("damage is told as %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*takeOver)
	defer cancel()
	history(t, w, 1)
	head, err := w.Head(ctx)
	if err == nil { // it answers again from tables that are in force
		err = running[1-counted.last()].WaitFor(ctx, "tally", head)
	}
	if now := inForce(); err != nil || now == was || now == 0 {
		t.Fatalf("generation %d was damaged and %d is in force, %v", was, now, err)
	}
	waitAll(t, w, "tally", running...)
	for i, m := range models {
		if _, err := m.view.Checkpoint(t.Context()); err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
}
