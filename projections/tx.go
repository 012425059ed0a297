package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Tx is the transaction in which a batch of events is taken in. It is for the
// goroutine that calls Apply, during the call. Statements are prepared once per
// database, so a projection's SQL is constant text with ? for each argument.
type Tx struct {
	conn     *sqlx.Conn
	prepared map[string]*sqlx.Stmt
	building bool
	scrub    bool

	// within, where it is set, is the transaction that runs the statements as texts, and
	// texts are these with their parameters as PostgreSQL writes them. pgx prepares each
	// once; and database/sql waits for itself when a connection breaks under a
	// statement that is prepared on it and not on its transaction.
	within *sqlx.Tx
	texts  map[string]string
}

// text returns the query as the database writes it.
func (t *Tx) text(query string) string {
	text := t.texts[query]
	if text == "" {
		text = t.within.Rebind(query)
		if t.texts == nil {
			t.texts = map[string]string{}
		}
		t.texts[query] = text
	}
	return text
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.exec(ctx, query, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *Tx) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if t.within != nil {
		return t.within.ExecContext(ctx, t.text(query), args...)
	}
	s, err := t.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (t *Tx) row(ctx context.Context, query string, args []any) (*sqlx.Row, error) {
	if t.within != nil {
		return t.within.QueryRowxContext(ctx, t.text(query), args...), nil
	}
	s, err := t.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryRowxContext(ctx, args...), nil
}

// Get reads the first row of a query into dest and reports whether there was one.
func (t *Tx) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	row, err := t.row(ctx, query, args)
	if err != nil {
		return false, err
	}
	if err := row.Scan(dest...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// Building reports whether the model is being built from the log's beginning, so
// that its query indexes are not there yet and Schema.Settle will follow.
func (t *Tx) Building() bool { return t.building }

// Scrub asks that what this transaction deletes or overwrites also leaves the
// write-ahead log, soon after it committed: for erasures.
func (t *Tx) Scrub() { t.scrub = true }

func (t *Tx) prepare(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s := t.prepared[query]; s != nil {
		return s, nil
	}
	s, err := t.conn.PreparexContext(ctx, t.conn.Rebind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.prepared[query] = s
	return s, nil
}
