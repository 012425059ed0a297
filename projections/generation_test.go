package projections_test

import (
	"context"
	"errors"
	"testing"

	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/projectiontest"
)

// build returns an empty generation in a new place, for a test.
func build(t *testing.T, place string) projections.Generation {
	t.Helper()
	medium, closed := projectiontest.OpenMedium(t, place)
	p := documents("tally")
	g, err := projections.BuildGeneration(t.Context(), medium.Model(p.Name(), p.Version()), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(g.Discard(context.Background()), closed()); err != nil {
			t.Error(err)
		}
	})
	return g
}

func checkpoint(n uint64) projections.Checkpoint {
	return projections.Checkpoint{Position: eventstore.Position{Commit: n, Prepare: n}, Next: int64(n)}
}

// inserting returns what puts a row for the next leaf into the generation.
func inserting(g projections.Generation) func(*projections.Tx) error {
	return func(tx *projections.Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO seen VALUES (?, '', 1)`, g.At().Next)
		return err
	}
}

func TestFencedRunnerCannotCommit(t *testing.T) {
	projectiontest.OnEach(t, fencedRunnerCannotCommit)
}

func fencedRunnerCannotCommit(t *testing.T, place func(testing.TB) string) {
	g := build(t, place(t))
	insert := inserting(g)
	if err := g.Commit(t.Context(), 2, checkpoint(1), insert); err != nil {
		t.Fatal(err)
	}
	if err := g.Commit(t.Context(), 1, checkpoint(2), insert); !errors.Is(err, projections.ErrOvertaken) {
		t.Fatalf("an older token: %v, want ErrOvertaken", err)
	}
	*g.At() = checkpoint(0)
	if err := g.Commit(t.Context(), 2, checkpoint(2), insert); !errors.Is(err, projections.ErrOvertaken) {
		t.Fatalf("from another place: %v, want ErrOvertaken", err)
	}
	*g.At() = checkpoint(1)
	if err := g.Commit(t.Context(), 3, checkpoint(2), insert); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := g.Commit(ctx, 3, checkpoint(3), func(tx *projections.Tx) error {
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
	if err := g.Tables().Reader().Get(&n, `SELECT count(*) FROM seen`); err != nil {
		t.Fatal(err)
	}
	at, err := projections.ReadCheckpoint(t.Context(), g.Tables().Reader())
	if err != nil || at != *g.At() || n != at.Next {
		t.Fatalf("%d rows at %v, want them equal (%v)", n, at, err)
	}
}

// A commit whose context has ended before its first statement ends, too: the driver of
// PostgreSQL then takes the connection for a bad one, under a transaction.
func TestCancelledCommit(t *testing.T) {
	projectiontest.OnEach(t, cancelledCommit)
}

func cancelledCommit(t *testing.T, place func(testing.TB) string) {
	g := build(t, place(t))
	insert := inserting(g)
	if err := g.Commit(t.Context(), 0, checkpoint(1), insert); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Commit(ctx, 0, checkpoint(2), insert); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := g.Commit(t.Context(), 0, checkpoint(2), insert); err != nil {
		t.Fatal("nothing works after it", err)
	}
	if at, err := projections.ReadCheckpoint(t.Context(), g.Tables().Reader()); err != nil || at != checkpoint(2) {
		t.Fatal(at, err)
	}
}
