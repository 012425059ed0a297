package projections

import (
	"context"
	"errors"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
)

func TestFencedRunnerCannotCommit(t *testing.T) {
	f := files{dir: t.TempDir(), name: "tally", vers: 1}
	schema := Schema{Tables: `CREATE TABLE seen (leaf BIGINT PRIMARY KEY);`}
	building, err := f.create(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.finish(t.Context(), building, schema)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	to := func(n uint64) Checkpoint {
		return Checkpoint{eventstore.Position{Commit: n, Prepare: n}, int64(n)}
	}
	insert := func(tx *Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO seen VALUES (?)`, d.at.Next)
		return err
	}
	if err := d.commit(t.Context(), 2, to(1), insert); err != nil {
		t.Fatal(err)
	}
	if err := d.commit(t.Context(), 1, to(2), insert); !errors.Is(err, ErrOvertaken) {
		t.Fatalf("an older token: %v, want ErrOvertaken", err)
	}
	d.at = to(0)
	if err := d.commit(t.Context(), 2, to(2), insert); !errors.Is(err, ErrOvertaken) {
		t.Fatalf("from another place: %v, want ErrOvertaken", err)
	}
	d.at = to(1)
	if err := d.commit(t.Context(), 3, to(2), insert); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = d.commit(ctx, 3, to(3), func(tx *Tx) error {
		cancel()
		return insert(tx)
	})
	if err == nil {
		// The statement may outrun the cancellation; then all of it is there.
		t.Log("committed before the cancellation was seen")
	} else if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var n int64
	if err := d.reader.Get(&n, `SELECT count(*) FROM seen`); err != nil {
		t.Fatal(err)
	}
	at, err := readCheckpoint(t.Context(), d.reader)
	if err != nil || at != d.at || n != at.Next {
		t.Fatalf("%d rows at %v, want them equal (%v)", n, at, err)
	}
}

func TestBuildingWritesEachPageOnce(t *testing.T) {
	f := files{dir: t.TempDir(), name: "tally", vers: 1}
	d, err := f.create(t.Context(), Schema{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.discard(context.Background())
	var mode, level string
	if err := d.tx.conn.GetContext(t.Context(), &mode, `PRAGMA journal_mode`); err != nil {
		t.Fatal(err)
	}
	if err := d.tx.conn.GetContext(t.Context(), &level, `PRAGMA synchronous`); err != nil {
		t.Fatal(err)
	}
	if mode != "memory" || level != "0" {
		t.Fatalf("journal %s, synchronous %s", mode, level)
	}
}

// A commit whose context has ended before its first statement ends, too: the driver
// then takes the connection for a bad one, under a transaction.
func TestCancelledCommitOnPostgreSQL(t *testing.T) {
	p, err := OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := schemas{p, "tally", 1}
	d, err := s.create(t.Context(), Schema{Tables: `CREATE TABLE seen (leaf BIGINT PRIMARY KEY);`})
	if err != nil {
		t.Fatal(err)
	}
	defer d.discard(context.Background())
	to := func(n uint64) Checkpoint {
		return Checkpoint{eventstore.Position{Commit: n, Prepare: n}, int64(n)}
	}
	insert := func(tx *Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO seen VALUES (?)`, d.at.Next)
		return err
	}
	if err := d.commit(t.Context(), 0, to(1), insert); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.commit(ctx, 0, to(2), insert); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := d.commit(t.Context(), 0, to(2), insert); err != nil {
		t.Fatal("nothing works after it", err)
	}
	if at, err := readCheckpoint(t.Context(), d.reader); err != nil || at != to(2) {
		t.Fatal(at, err)
	}
}
