package replays_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/replays"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// deployment is a key database that several processes have open.
type deployment struct {
	open func() *keysdb.DB
	mac  func(parts ...[]byte) [32]byte
	now  atomic.Int64
	told bytes.Buffer
}

func (d *deployment) at() time.Time { return time.Unix(d.now.Load(), 0) }

// process opens the table as one more process does.
func (d *deployment) process(t *testing.T, o replays.Options) (*replays.Table, *keysdb.DB) {
	t.Helper()
	db := d.open()
	o.Now, o.Logger = d.at, slog.New(slog.NewTextHandler(&d.told, nil))
	table, err := replays.Open(t.Context(), db, d.mac, o)
	if err != nil {
		t.Fatal(err)
	}
	return table, db
}

// onEach runs a test on a file and on a PostgreSQL.
func onEach(t *testing.T, test func(t *testing.T, d *deployment)) {
	run := func(t *testing.T, open func() *keysdb.DB) {
		d := &deployment{open: open, mac: ringtest.New(t).DeploymentKey(seal.RequestKey).MAC}
		d.now.Store(time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC).Unix())
		test(t, d)
	}
	t.Run("SQLite", func(t *testing.T) {
		dir := t.TempDir()
		run(t, func() *keysdb.DB { return ringtest.OpenDB(t, dir) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		run(t, func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) })
	})
}

func (d *deployment) use(t *testing.T, table *replays.Table, holder string, proof int) (bool, error) {
	t.Helper()
	return d.useAs(t, table, holder, proof, eventstore.Ordinary)
}

func (d *deployment) useAs(t *testing.T, table *replays.Table, holder string, proof int, class eventstore.Class) (bool, error) {
	t.Helper()
	first, err := table.Use(t.Context(), replays.Proof{Holder: []byte(holder), ID: fmt.Appendf(nil, "proof %d", proof), Until: d.at().Add(2 * time.Minute), Class: class})
	if err != nil && !errors.Is(err, replays.ErrFull) {
		t.Fatal(err)
	}
	return first, err
}

// A proof counts once, whoever is shown it: of many at once in two processes one accepts it,
// and none after a restart.
func TestProofCountsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		one, db := d.process(t, replays.Options{})
		other, _ := d.process(t, replays.Options{})
		const proofs = 8
		var all sync.WaitGroup
		var accepted [proofs]atomic.Int64
		for i := range 6 * proofs {
			all.Go(func() {
				if first, _ := d.use(t, []*replays.Table{one, other}[i%2], "key", i%proofs); first {
					accepted[i%proofs].Add(1)
				}
			})
		}
		all.Wait()
		for i := range accepted {
			if n := accepted[i].Load(); n != 1 {
				t.Errorf("proof %d was accepted %d times", i, n)
			}
		}
		if first, _ := d.use(t, one, "another key", 0); !first {
			t.Error("the id of another key's proof counts as used")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		again, _ := d.process(t, replays.Options{})
		if first, _ := d.use(t, again, "key", 0); first {
			t.Error("a proof is forgotten by a restart")
		}
	})
}

// The memory is bounded for one key and for all, refuses instead of forgetting, and has room
// again when the window is over; the rows are gone by then.
func TestMemoryOfProofsIsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, db := d.process(t, replays.Options{MaxProofs: 5, MaxOfHolder: 3})
		for i := range 4 {
			if _, err := d.use(t, table, "a", i); (err == nil) != (i < 3) {
				t.Errorf("proof %d of one key: %v", i, err)
			}
		}
		for i := range 3 {
			if _, err := d.use(t, table, fmt.Sprint("b", i), i); (err == nil) != (i < 2) {
				t.Errorf("proof %d of others: %v", i, err)
			}
		}
		if first, _ := d.use(t, table, "a", 0); first {
			t.Error("a full memory accepts a used proof")
		}
		// Rule C-6: a withdrawal has room where others have none, and not without end.
		if first, err := d.useAs(t, table, "a", 7, eventstore.Reserved); !first || err != nil {
			t.Errorf("a proof that must pass: %v, %v", first, err)
		}
		if _, err := d.useAs(t, table, "a", 8, eventstore.Reserved); !errors.Is(err, replays.ErrFull) {
			t.Errorf("one more of those: %v", err)
		}
		if n := strings.Count(d.told.String(), "can be remembered"); n != 1 {
			t.Errorf("the operator was told %d times", n)
		}
		d.now.Add(int64((replays.Window + 2*time.Minute) / time.Second))
		if first, err := d.use(t, table, "a", 9); !first || err != nil {
			t.Errorf("after the window: %v, %v", first, err)
		}
		if err := db.Close(); err != nil { // writes what is queued
			t.Fatal(err)
		}
		_, db = d.process(t, replays.Options{})
		s, err := db.Read(`SELECT count(*) FROM used_proofs`)
		if err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := s.GetContext(t.Context(), &rows); err != nil || rows != 1 {
			t.Errorf("%d rows are left, %v", rows, err)
		}
	})
}

// A proof that would have to be remembered for longer than anything is kept is not accepted.
func TestProofBeyondTheWindowIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		table, _ := d.process(t, replays.Options{})
		if first, err := table.Use(t.Context(), replays.Proof{Holder: []byte("key"), ID: []byte("proof"), Until: d.at().Add(replays.Window + time.Second)}); first || !errors.Is(err, replays.ErrWindow) {
			t.Errorf("%v, %v", first, err)
		}
	})
}

// A proof that was used under the former request key does not count again under the new one.
func TestProofCountsOnceUnderTwoKeys(t *testing.T) {
	onEach(t, func(t *testing.T, d *deployment) {
		former := d.mac
		one, _ := d.process(t, replays.Options{})
		d.mac = func(parts ...[]byte) [32]byte { return former(append([][]byte{[]byte("next")}, parts...)...) }
		other, _ := d.process(t, replays.Options{Others: func() []func(parts ...[]byte) [32]byte { return []func(parts ...[]byte) [32]byte{former} }})
		for _, step := range []struct {
			table *replays.Table
			proof int
			first bool
		}{{one, 1, true}, {other, 1, false}, {other, 2, true}, {other, 2, false}} {
			if first, err := d.use(t, step.table, "holder", step.proof); err != nil || first != step.first {
				t.Errorf("proof %d: first %t, %v", step.proof, first, err)
			}
		}
	})
}
