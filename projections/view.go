package projections

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/jmoiron/sqlx"
)

// View is where the queries of one projection run: on the tables in force, which
// a rebuild may exchange between two queries but not during one. The zero View
// answers ErrNotReady. Its methods may be called concurrently.
type View struct {
	mu      sync.RWMutex
	current *generation
}

// Rows of a query. Close them: the tables cannot be dropped before.
type Rows struct {
	*sqlx.Rows
	from *generation
}

// Close ends the query. A second Close does nothing.
func (r *Rows) Close() error {
	err := r.Rows.Close()
	if r.from != nil {
		r.from.foundDamaged(r.Rows.Err())
		r.from.users.Done()
		r.from = nil
	}
	return err
}

// Query runs a statement, prepared once per generation and kept, so its text must be
// one of a few constants.
func (v *View) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	g, err := v.acquire()
	if err != nil {
		return nil, err
	}
	s, err := g.statement(ctx, query)
	if err != nil {
		g.users.Done()
		return nil, g.queryError(ctx, err)
	}
	rows, err := s.QueryxContext(ctx, args...)
	if err != nil {
		g.users.Done()
		return nil, g.queryError(ctx, err)
	}
	return &Rows{rows, g}, nil
}

// Get reads the first row of a query into dest and reports whether there was one.
func (v *View) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	rows, err := v.Query(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.from.queryError(ctx, rows.Err())
	}
	if err := rows.Scan(dest...); err != nil {
		return false, err
	}
	return true, rows.Close()
}

// Select calls row for each row of a query, in order, until it returns an error.
func (v *View) Select(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	rows, err := v.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return rows.from.queryError(ctx, err)
	}
	return rows.Close()
}

// Each calls row for each row of a query, in order, until it returns an error. It is
// for the queries that run most, past database/sql, which would copy every column.
// The text is one of a few constants; args are int64, string, []byte or nil. row must
// be quick: it holds one of few connections.
func (v *View) Each(ctx context.Context, query string, args []any, row func(Row) error) error {
	g, err := v.acquire()
	if err != nil {
		return err
	}
	defer g.users.Done()
	return g.queryError(ctx, g.Each(ctx, query, args, row))
}

// Checkpoint returns how far the tables in force have come. A query that begins
// later sees at least that much.
func (v *View) Checkpoint(ctx context.Context) (Checkpoint, error) {
	g, err := v.acquire()
	if err != nil {
		return Checkpoint{}, err
	}
	defer g.users.Done()
	at, err := ReadCheckpoint(ctx, g.Reader())
	return at, g.queryError(ctx, err)
}

func (v *View) acquire() (*generation, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil || v.current.damaged.Load() {
		return nil, ErrNotReady
	}
	v.current.users.Add(1)
	return v.current, nil
}

// exchange points the view at other tables and returns the former ones.
func (v *View) exchange(to *generation) (former *generation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	former, v.current = v.current, to
	return former
}

// queryError adds ErrNotReady when the medium is away, dropped the tables before this
// process followed to the next ones, or finds them damaged.
func (g *generation) queryError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch fault := g.Fault(err); {
	case fault == Away, fault == Dropped, g.foundDamaged(err):
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return err
}

// PageRows is how many rows [Pages] asks for at once.
const PageRows = 1000

// Pages yields the rows of a model as they were at a leaf ([Latest]: now), in constant memory
// and without keeping the tables from moving on. next returns the page behind a leaf, -1 for
// the first, of at most PageRows, and the leaf of its last row. An error ends it.
func Pages[T any](ctx context.Context, v *View, asOf int64, next func(asOf, after int64) ([]T, int64, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		now, err := v.Checkpoint(ctx)
		if err != nil {
			yield(none, fmt.Errorf("pages of a model: %w", err))
			return
		}
		asOf := min(At(asOf), now.Next-1)
		for after, more := int64(-1), asOf >= 0; more; {
			var page []T
			if page, after, err = next(asOf, after); err != nil {
				yield(none, err)
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
			}
			more = len(page) == PageRows
		}
	}
}
