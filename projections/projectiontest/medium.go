package projectiontest

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"coffre/eventstore"
	"coffre/projections"
)

const mediumTables = `CREATE TABLE checkpoint (
	name TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, fence BIGINT NOT NULL,
	commit_position BIGINT NOT NULL, prepare_position BIGINT NOT NULL, next_leaf BIGINT NOT NULL);
	CREATE TABLE things (leaf BIGINT PRIMARY KEY, label TEXT, content BYTEA);
	INSERT INTO checkpoint VALUES ('things', 1, 0, 0, 0, 0);`

var mediumSchema = projections.Schema{Indexes: `CREATE INDEX things_label ON things (label);`, Settle: `UPDATE things SET label = 'settled' WHERE label = 'left';`}

// RunMedium checks the contract of a medium, and of what wraps one. place makes an
// empty place, as OnEach does; open opens the medium there, until closed is called.
func RunMedium(t *testing.T, place func(testing.TB) string, open func(t testing.TB, place string) (m projections.Medium, closed func() error)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, o *openMedium)
	}{
		{"an empty place has nothing in force", nothingInForce},
		{"a promoted generation is in force", promotedIsInForce},
		{"a generation that shows less is not promoted", behindIsNotPromoted},
		{"a finished generation is settled and durable", finishedIsSettled},
		{"a transaction is whole or nothing", wholeOrNothing},
		{"a transaction outlives its context", outlivesItsContext},
		{"a failed build leaves nothing", failedBuildLeavesNothing},
		{"an interrupted build is removed", interruptedBuild},
		{"an interrupted build goes on", interruptedBuildGoesOn},
		{"a build that was to end while it was finished goes on", endedFinishGoesOn},
		{"a finished build that was not promoted is not settled again", finishedGoesOn},
		{"a build is not gone on with behind the end of the log", discardedBuild},
		{"a replaced generation is dropped when nobody has it open", droppedWhenUnused},
		{"a withdrawn generation is not opened", withdrawn},
		{"deleted bytes are removed", deletedBytes},
		{"the furthest complete generation is told", furthest},
		{"what is further than the end of the log is discarded", discarded},
		{"changed bytes are met as damage", damageIsMet},
		{"a lease is given back and had again", leaseAgain},
		{"a stopped runner is reported", stoppedIsReported},
		{"errors of the program are no faults of the medium", faults},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &openMedium{place: place(t), open: open}
			o.again(t)
			t.Cleanup(func() { o.close(t) })
			c.test(t, o)
		})
	}
}

// openMedium is a model named things in a medium, which a test closes and opens again
// as the next process would.
type openMedium struct {
	projections.Model
	place  string
	open   func(testing.TB, string) (projections.Medium, func() error)
	closed func() error
}

func (o *openMedium) again(t testing.TB) {
	t.Helper()
	m, closed := o.open(t, o.place)
	o.Model, o.closed = m.Model("things", 1), closed
}

func (o *openMedium) close(t testing.TB) {
	t.Helper()
	if err := o.closed(); err != nil {
		t.Error(err)
	}
}

// restart is the start of the next process; it returns the generation in force.
func (o *openMedium) restart(t testing.TB) projections.Tables {
	t.Helper()
	o.close(t)
	o.again(t)
	tables, err := o.Start(t.Context())
	if err == nil && tables == nil {
		tables, err = o.Open(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// create makes a generation that holds one row.
func (o *openMedium) create(t testing.TB, leaf int64, label string, content []byte) projections.Tables {
	t.Helper()
	tables, err := o.Create(t.Context(), mediumTables)
	if err != nil {
		t.Fatal(err)
	}
	insert(t, tables, leaf, label, content)
	return tables
}

// promoted makes a generation that holds one row and is in force.
func (o *openMedium) promoted(t testing.TB, leaf int64) projections.Tables {
	t.Helper()
	tables, err := o.Finish(t.Context(), o.create(t, leaf, "label", nil), mediumSchema)
	if err == nil {
		err = o.Promote(t.Context(), tables, projections.Checkpoint{Next: leaf})
	}
	if err != nil {
		t.Fatal(err)
	}
	o.wantInForce(t, tables.Generation())
	return tables
}

func (o *openMedium) wantInForce(t testing.TB, want int64) {
	t.Helper()
	if got, stopped, err := o.InForce(t.Context()); err != nil || stopped != nil || got != want {
		t.Fatalf("in force is %d, %v, %v, want %d", got, stopped, err, want)
	}
}

// wantGenerations counts those that there are, in any state.
func (o *openMedium) wantGenerations(t testing.TB, want int) {
	t.Helper()
	var all []string
	if onPostgres(o.place) {
		all = Schemas(t, o.place, "things")
	} else {
		all, _ = filepath.Glob(filepath.Join(o.place, "things.v1.g*"))
	}
	n := 0
	for _, name := range all {
		if onPostgres(o.place) || filepath.Ext(name) == ".db" || filepath.Ext(name) == ".building" {
			n++
		}
	}
	if n != want {
		t.Fatalf("there are %v, want %d", all, want)
	}
}

func shut(t testing.TB, tables projections.Tables) {
	t.Helper()
	if err := tables.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, tables projections.Tables, query string, args ...any) {
	t.Helper()
	tx, err := tables.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := tx.Exec(t.Context(), query, args...); err != nil || n != 1 {
		t.Fatal(n, errors.Join(err, tx.Rollback()))
	}
	if err := errors.Join(tx.Commit(), tx.Rollback()); err != nil {
		t.Fatal(err)
	}
}

func insert(t testing.TB, tables projections.Tables, leaf int64, label string, content []byte) {
	t.Helper()
	write(t, tables, `INSERT INTO things VALUES (?, ?, ?)`, leaf, label, content)
}

// rows reads the table both ways, which must agree.
func rows(t testing.TB, tables projections.Tables) string {
	t.Helper()
	const query = `SELECT leaf, label, content FROM things WHERE leaf >= ? ORDER BY leaf`
	direct, pooled := "", ""
	err := tables.Each(t.Context(), query, []any{int64(0)}, func(r projections.Row) error {
		direct += fmt.Sprintf("%d %s %x;", r.Int64(0), r.Text(1), r.Bytes(2))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := tables.Reader().Queryx(tables.Reader().Rebind(query), int64(0))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for pool.Next() {
		var leaf int64
		var label string
		var content []byte
		if err := pool.Scan(&leaf, &label, &content); err != nil {
			t.Fatal(err)
		}
		pooled += fmt.Sprintf("%d %s %x;", leaf, label, content)
	}
	if err := pool.Err(); err != nil || direct != pooled {
		t.Fatalf("%q by Each, %q by the pool: %v", direct, pooled, err)
	}
	return direct
}

func wantRows(t testing.TB, tables projections.Tables, want string) {
	t.Helper()
	if got := rows(t, tables); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

func nothingInForce(t *testing.T, o *openMedium) {
	started, err := o.Start(t.Context())
	if err != nil || started != nil {
		t.Fatal(started, err)
	}
	opened, err := o.Open(t.Context())
	if err != nil || opened != nil {
		t.Fatal(opened, err)
	}
	o.wantInForce(t, 0)
	building := o.create(t, 1, "label", nil)
	o.wantInForce(t, 0)
	shut(t, building)
}

func promotedIsInForce(t *testing.T, o *openMedium) {
	first := o.promoted(t, 1)
	again, err := o.Open(t.Context())
	if err != nil || again == nil || again.Generation() != first.Generation() {
		t.Fatal(again, err)
	}
	wantRows(t, again, "1 label ;")
	second := o.promoted(t, 2)
	if second.Generation() <= first.Generation() {
		t.Fatalf("generation %d follows %d", second.Generation(), first.Generation())
	}
	wantRows(t, first, "1 label ;") // for readers that are still at it
	shut(t, again)
	shut(t, first)
	shut(t, second)
	next := o.restart(t)
	if next == nil || next.Generation() != second.Generation() {
		t.Fatal("after a restart: ", next)
	}
	wantRows(t, next, "2 label ;")
	o.wantInForce(t, next.Generation())
	shut(t, next)
}

func behindIsNotPromoted(t *testing.T, o *openMedium) {
	former := o.promoted(t, 1)
	defer shut(t, former)
	write(t, former, `UPDATE checkpoint SET commit_position = ?, prepare_position = ?, next_leaf = ?`, int64(5), int64(5), int64(5))
	next, err := o.Finish(t.Context(), o.create(t, 2, "label", nil), mediumSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, next)
	at := func(n uint64) projections.Checkpoint {
		return projections.Checkpoint{Position: eventstore.Position{Commit: n, Prepare: n}, Next: int64(n)}
	}
	if err := o.Promote(t.Context(), next, at(4)); !errors.Is(err, projections.ErrBehind) {
		t.Fatalf("%v, want ErrBehind", err)
	}
	o.wantInForce(t, former.Generation())
	if err := o.Promote(t.Context(), next, at(5)); err != nil {
		t.Fatal(err)
	}
	o.wantInForce(t, next.Generation())
}

func finishedIsSettled(t *testing.T, o *openMedium) {
	built := o.create(t, 1, "left", []byte{0, 255})
	insert(t, built, 2, "", nil)
	tables, err := o.Finish(t.Context(), built, mediumSchema)
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, tables, "1 settled 00ff;2  ;")
	o.wantInForce(t, 0)
	if err := o.Promote(t.Context(), tables, projections.Checkpoint{Next: 2}); err != nil {
		t.Fatal(err)
	}
	insert(t, tables, 3, "live", nil)
	shut(t, tables)
	next := o.restart(t)
	wantRows(t, next, "1 settled 00ff;2  ;3 live ;")
	shut(t, next)
}

func wholeOrNothing(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	defer shut(t, tables)
	tx, err := tables.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // a connection closes after its transaction
	if n, err := tx.Exec(t.Context(), `UPDATE things SET label = ? WHERE leaf = ?`, "changed", int64(1)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n, err := tx.Exec(t.Context(), `UPDATE things SET label = ? WHERE leaf = ?`, "changed", int64(9)); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	var label string
	if found, err := tx.Get(t.Context(), `SELECT label FROM things WHERE leaf = ?`, []any{int64(1)}, &label); err != nil || !found || label != "changed" {
		t.Fatal(found, label, err)
	}
	if found, err := tx.Get(t.Context(), `SELECT label FROM things WHERE leaf = ?`, []any{int64(9)}, &label); err != nil || found {
		t.Fatal(found, err)
	}
	wantRows(t, tables, "1 label ;") // for others
	if err := errors.Join(tx.Rollback(), tx.Rollback()); err != nil {
		t.Fatal(err)
	}
	wantRows(t, tables, "1 label ;")
	write(t, tables, `UPDATE things SET label = ?`, "committed")
	wantRows(t, tables, "1 committed ;")
}

func outlivesItsContext(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	defer shut(t, tables)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := tables.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := tx.Exec(t.Context(), `INSERT INTO things VALUES (?, ?, ?)`, int64(2), "label", nil); err != nil {
		t.Fatal(errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantRows(t, tables, "1 label ;2 label ;")
}

func failedBuildLeavesNothing(t *testing.T, o *openMedium) {
	if tables, err := o.Create(t.Context(), `CREATE nonsense;`); err == nil {
		t.Fatal("nonsense passes: ", tables)
	}
	o.wantGenerations(t, 0)
	tables, err := o.Finish(t.Context(), o.create(t, 1, "label", nil), projections.Schema{Indexes: `CREATE INDEX nonsense;`})
	if err == nil {
		t.Fatal("nonsense passes: ", tables)
	}
	o.wantGenerations(t, 0)
	removed := o.create(t, 1, "label", nil)
	shut(t, removed)
	if err := removed.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.wantGenerations(t, 0)
	o.wantInForce(t, 0)
}

func interruptedBuild(t *testing.T, o *openMedium) {
	kept := o.promoted(t, 1)
	shut(t, kept)
	interrupted := o.create(t, 2, "label", nil)
	shut(t, interrupted)
	o.wantGenerations(t, 2)
	next := o.restart(t)
	defer shut(t, next)
	if next == nil || next.Generation() != kept.Generation() {
		t.Fatal("after a restart: ", next)
	}
	if err := o.Drop(t.Context(), next.Generation()); err != nil {
		t.Fatal(err)
	}
	o.wantGenerations(t, 1)
	wantRows(t, next, "1 label ;")
}

// resume goes on with a build in the next process; nil when there is nothing to go on with.
func (o *openMedium) resume(t testing.TB) (left projections.Tables, settled bool) {
	t.Helper()
	if inForce := o.restart(t); inForce != nil {
		t.Fatal("in force is ", inForce.Generation())
	}
	left, settled, err := o.Resume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return left, settled
}

func interruptedBuildGoesOn(t *testing.T, o *openMedium) {
	if left, _ := o.resume(t); left != nil {
		t.Fatal("nothing was begun, and left is ", left.Generation())
	}
	shut(t, o.create(t, 1, "older", nil))
	interrupted := o.create(t, 2, "left", nil)
	number := interrupted.Generation()
	shut(t, interrupted)
	left, settled := o.resume(t)
	if left == nil || settled || left.Generation() != number {
		t.Fatal("left is ", left, settled)
	}
	insert(t, left, 3, "label", nil)
	done, err := o.Finish(t.Context(), left, mediumSchema)
	if err == nil {
		err = o.Promote(t.Context(), done, projections.Checkpoint{Next: 3})
	}
	if err == nil {
		err = o.Drop(t.Context(), number)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, done)
	wantRows(t, done, "2 settled ;3 label ;")
	o.wantGenerations(t, 1)
}

func endedFinishGoesOn(t *testing.T, o *openMedium) {
	built := o.create(t, 1, "left", nil)
	number := built.Generation()
	ctx, end := context.WithCancel(t.Context())
	end()
	if done, err := o.Finish(ctx, built, mediumSchema); err == nil {
		t.Fatal("finished is ", done.Generation())
	}
	left, settled := o.resume(t)
	if left == nil || settled || left.Generation() != number {
		t.Fatal("left is ", left, settled)
	}
	done, err := o.Finish(t.Context(), left, mediumSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, done)
	wantRows(t, done, "1 settled ;")
}

// Files that are finished are in force after a restart, so nobody goes on with them.
func finishedGoesOn(t *testing.T, o *openMedium) {
	done, err := o.Finish(t.Context(), o.create(t, 1, "left", nil), mediumSchema)
	if err != nil {
		t.Fatal(err)
	}
	insert(t, done, 2, "left", nil)
	shut(t, done)
	if !onPostgres(o.place) {
		again := o.restart(t)
		defer shut(t, again)
		wantRows(t, again, "1 settled ;2 left ;")
		return
	}
	left, settled := o.resume(t)
	if left == nil || !settled {
		t.Fatal("left is ", left, settled)
	}
	again, err := o.Finish(t.Context(), left, projections.Schema{Indexes: mediumSchema.Indexes})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, again)
	wantRows(t, again, "1 settled ;2 left ;")
}

func discardedBuild(t *testing.T, o *openMedium) {
	shut(t, o.create(t, 1, "label", nil))
	o.close(t)
	m, closed := o.open(t, o.place)
	o.Model, o.closed = m.Model("things", 1), closed
	if _, err := m.Discard(t.Context(), eventstore.Position{}); err != nil {
		t.Fatal(err)
	}
	o.wantGenerations(t, 0)
}

func droppedWhenUnused(t *testing.T, o *openMedium) {
	former, next := o.promoted(t, 1), o.promoted(t, 2)
	defer shut(t, next)
	if err := o.Drop(t.Context(), next.Generation()); err != nil {
		t.Fatal(err)
	}
	o.wantGenerations(t, 2)
	wantRows(t, former, "1 label ;")
	shut(t, former)
	if err := o.Drop(t.Context(), next.Generation()); err != nil {
		t.Fatal(err)
	}
	o.wantGenerations(t, 1)
	wantRows(t, next, "2 label ;")
}

func withdrawn(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	if err := o.Withdraw(t.Context(), tables.Generation()); err != nil {
		t.Fatal(err)
	}
	o.wantInForce(t, 0)
	if again, err := o.Open(t.Context()); err != nil || again != nil {
		t.Fatal(again, err)
	}
	shut(t, tables)
	if err := tables.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.wantGenerations(t, 0)
	if next := o.restart(t); next != nil {
		t.Fatal("after a restart: ", next)
	}
}

func deletedBytes(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	defer shut(t, tables)
	secret := make([]byte, 64)
	rand.Read(secret)
	insert(t, tables, 2, "label", secret)
	if !found(t, o.place, secret) {
		t.Fatal("it is not found when it is there")
	}
	write(t, tables, `DELETE FROM things WHERE leaf = ?`, int64(2))
	if done, err := tables.Clean(t.Context()); err != nil || !done {
		t.Fatal(done, err)
	}
	if found(t, o.place, secret) {
		t.Fatal("it is still there")
	}
}

func leaseAgain(t *testing.T, o *openMedium) {
	var last int64
	for range 3 {
		lease, err := o.TryAcquire(t.Context())
		if err != nil || lease == nil || lease.Held.Err() != nil {
			t.Fatal(lease, err)
		}
		if lease.Token < last {
			t.Fatalf("token %d after %d", lease.Token, last)
		}
		last = lease.Token
		lease.Release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	lease, err := o.TryAcquire(ctx)
	if err != nil || lease == nil {
		t.Fatal(lease, err)
	}
	cancel()
	<-lease.Held.Done()
	lease.Release()
}

// stoppedIsReported: a medium without followers need not keep where a runner stopped;
// and one that lets nobody run who was overtaken says so.
func stoppedIsReported(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	defer shut(t, tables)
	lease, err := o.TryAcquire(t.Context())
	if err != nil || lease == nil {
		t.Fatal(lease, err)
	}
	if err := o.Report(t.Context(), lease.Token, &projections.Poisoned{Name: "things", Leaf: 7, Type: "some.thing/1", Err: eventstore.ErrTampered}); err != nil {
		t.Fatal(err)
	}
	generation, stopped, err := o.InForce(t.Context())
	var poisoned *projections.Poisoned
	if err != nil || generation != tables.Generation() {
		t.Fatal(generation, err)
	}
	if stopped != nil && (!errors.As(stopped, &poisoned) || poisoned.Leaf != 7 || poisoned.Type != "some.thing/1" || poisoned.Name != "things") {
		t.Fatal(stopped)
	}
	lease.Release()
	if err := o.Report(t.Context(), lease.Token, projections.ErrOvertaken); err != nil {
		t.Fatal(err)
	}
	lease, err = o.TryAcquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, stopped, err = o.InForce(t.Context())
	if err != nil || (lease == nil) != errors.Is(stopped, projections.ErrOvertaken) {
		t.Fatal(lease, stopped, err)
	}
	if lease != nil {
		lease.Release()
	}
	next := o.promoted(t, 2) // and a rebuild is a new beginning
	defer shut(t, next)
	if lease, err = o.TryAcquire(t.Context()); err != nil || lease == nil {
		t.Fatal(lease, err)
	}
	lease.Release()
}

func faults(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	defer shut(t, tables)
	for _, c := range []struct {
		err  error
		want projections.Fault
	}{
		{nil, projections.NoFault},
		{errors.New("no"), projections.NoFault},
		{fmt.Errorf("write: %w", driver.ErrBadConn), projections.Away},
	} {
		if got := tables.Fault(c.err); got != c.want {
			t.Errorf("%v is %d, want %d", c.err, got, c.want)
		}
	}
	tx, err := tables.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, err = tx.Exec(t.Context(), `INSERT INTO things VALUES (?, ?, ?)`, int64(1), "twice", nil)
	if err == nil || tables.Fault(err) != projections.NoFault {
		t.Error(err)
	}
}

func furthest(t *testing.T, o *openMedium) {
	want := func(name string, commit uint64) {
		t.Helper()
		o.close(t)
		m, closed := o.open(t, o.place)
		o.Model, o.closed = m.Model("things", 1), closed
		if got, at, err := m.Furthest(t.Context()); err != nil || got != name || at != (eventstore.Position{Commit: commit, Prepare: commit / 2}) {
			t.Fatalf("%s at %v, %v, want %s at %d", got, at, err, name, commit)
		}
	}
	want("", 0)
	tables := o.promoted(t, 1)
	write(t, tables, `UPDATE checkpoint SET commit_position = ?, prepare_position = ?`, int64(8), int64(4))
	building := o.create(t, 2, "label", nil)
	write(t, building, `UPDATE checkpoint SET commit_position = ?, prepare_position = ?`, int64(80), int64(40))
	shut(t, building)
	shut(t, tables)
	want("things", 8)
	want("things", 8) // it has changed nothing
	next := o.restart(t)
	wantRows(t, next, "1 label ;")
	shut(t, next)
}

func discarded(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	write(t, tables, `UPDATE checkpoint SET commit_position = ?, prepare_position = ?`, int64(8), int64(4))
	shut(t, tables)
	for _, c := range []struct {
		end  eventstore.Position
		want []string
	}{
		{eventstore.Position{Commit: 9}, nil},
		{eventstore.Position{Commit: 8, Prepare: 4}, nil},
		{eventstore.Position{Commit: 8, Prepare: 3}, []string{"things"}},
		{eventstore.Position{}, nil}, // there is nothing any more
	} {
		o.close(t)
		m, closed := o.open(t, o.place)
		o.Model, o.closed = m.Model("things", 1), closed
		if got, err := m.Discard(t.Context(), c.end); err != nil || !slices.Equal(got, c.want) {
			t.Fatalf("of a log that ends at %v %q were discarded, %v, want %q", c.end, got, err, c.want)
		}
	}
	if tables := o.restart(t); tables != nil {
		shut(t, tables)
		t.Fatal("a discarded generation is opened")
	}
	next := o.promoted(t, 2)
	shut(t, next)
	again := o.restart(t)
	wantRows(t, again, "2 label ;")
	shut(t, again)
}

func damageIsMet(t *testing.T, o *openMedium) {
	tables := o.promoted(t, 1)
	query := `SELECT content FROM things` // which no index holds
	if onPostgres(o.place) {              // the server compares checksums; here it says that one did not hold
		tx, err := tables.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), `CREATE FUNCTION bad_page() RETURNS BYTEA LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001'; END $$`)
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
		query = `SELECT bad_page()`
	} else {
		shut(t, tables)
		Spoil(t, o.place, "things", "things")
		tables = o.restart(t)
	}
	err := tables.Each(t.Context(), query, nil, func(projections.Row) error {
		t.Error("a row is shown that nobody wrote")
		return nil
	})
	if tables.Fault(err) != projections.Damaged {
		t.Errorf("%v is fault %d, want Damaged", err, tables.Fault(err))
	}
	var content []byte
	if err := tables.Reader().GetContext(t.Context(), &content, query); tables.Fault(err) != projections.Damaged {
		t.Errorf("through the pool %v is fault %d, want Damaged", err, tables.Fault(err))
	}
	shut(t, tables)
}
