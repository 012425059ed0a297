package projections

import (
	"context"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
)

// View is where the queries of one projection run: on the tables in force, which
// a rebuild may exchange between two queries but not during one. The zero View
// answers ErrNotReady. Its methods may be called concurrently.
type View struct {
	mu      sync.RWMutex
	current *database
}

// Rows of a query. Close them: the tables cannot be dropped before.
type Rows struct {
	*sqlx.Rows
	from *database
}

// Close ends the query. A second Close does nothing.
func (r *Rows) Close() error {
	err := r.Rows.Close()
	if r.from != nil {
		r.from.users.Done()
		r.from = nil
	}
	return err
}

// Query runs a statement, prepared once per database and kept, so its text must be
// one of a few constants.
func (v *View) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	db, err := v.acquire()
	if err != nil {
		return nil, err
	}
	s, err := db.reading(ctx, query)
	if err != nil {
		db.users.Done()
		return nil, told(ctx, err)
	}
	rows, err := s.QueryxContext(ctx, args...)
	if err != nil {
		db.users.Done()
		return nil, told(ctx, err)
	}
	return &Rows{rows, db}, nil
}

// told says that the tables cannot be asked where PostgreSQL is away, or dropped
// them before this process followed to the next ones.
func told(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && (pgdb.Away(err) || pgdb.Missing(err)) {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return err
}

// Get reads the first row of a query into dest and reports whether there was one.
func (v *View) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	rows, err := v.Query(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, told(ctx, rows.Err())
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
		return told(ctx, err)
	}
	return rows.Close()
}

// Checkpoint returns how far the tables in force have come. A query that begins
// later sees at least that much.
func (v *View) Checkpoint(ctx context.Context) (Checkpoint, error) {
	db, err := v.acquire()
	if err != nil {
		return Checkpoint{}, err
	}
	defer db.users.Done()
	return readCheckpoint(ctx, db.reader)
}

func (v *View) acquire() (*database, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return nil, ErrNotReady
	}
	v.current.users.Add(1)
	return v.current, nil
}

// exchange points the view at other tables and returns the former ones.
func (v *View) exchange(to *database) (former *database) {
	v.mu.Lock()
	defer v.mu.Unlock()
	former, v.current = v.current, to
	return former
}

// reading returns a prepared statement for the reader pool.
func (d *database) reading(ctx context.Context, query string) (*sqlx.Stmt, error) {
	d.mu.RLock()
	s := d.statements[query]
	d.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	s, err := d.reader.PreparexContext(ctx, d.reader.Rebind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if first := d.statements[query]; first != nil {
		return first, s.Close()
	}
	d.statements[query] = s
	return s, nil
}
