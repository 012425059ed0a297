package pgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"
)

// Snapshot reads the tables of one schema as they were at one moment, while others go on
// writing to them. From Take to Release the server keeps what is deleted meanwhile, and
// [Vacuum] returns ErrSeen. It is for one goroutine at a time.
type Snapshot struct {
	ctx    context.Context
	schema string
	db     *sqlx.DB
	conn   *sqlx.Conn
	tx     *sqlx.Tx // nil: no state is held
}

// OpenSnapshot connects to the schema in the database at dsn. ctx bounds everything that is
// done with the snapshot; a statement may take as long as it does.
func OpenSnapshot(ctx context.Context, dsn, schema string) (*Snapshot, error) {
	db, err := Open(dsn, Options{Schema: schema, Name: "coffre backup", Conns: 1, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	s := &Snapshot{ctx: ctx, schema: schema, db: db}
	if s.conn, err = db.Connx(ctx); err == nil {
		// Whoever reads slowly holds a statement up, and what comes between two of them.
		_, err = s.conn.ExecContext(ctx, `SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0`)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot of schema %s: %w", schema, err), s.Close())
	}
	return s, nil
}

// Take chooses the state: all that is committed now. Taken again, it lets go of the
// former one.
func (s *Snapshot) Take() (err error) {
	if err := s.Release(); err != nil {
		return err
	}
	if s.tx, err = s.conn.BeginTxx(s.ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	if _, err := s.Tables(); err != nil { // the first read is what fixes it
		return fmt.Errorf("take a snapshot: %w", err)
	}
	return nil
}

// Release lets go of the state, if one was taken.
func (s *Snapshot) Release() error {
	if s.tx == nil {
		return nil
	}
	err := s.tx.Rollback()
	if s.tx = nil; err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("let go of a snapshot: %w", err)
	}
	return nil
}

// Close lets go of the state and of the server.
func (s *Snapshot) Close() error {
	err := s.Release()
	if s.conn != nil {
		err = errors.Join(err, s.conn.Close())
	}
	return errors.Join(err, s.db.Close())
}

// Tables returns the columns of each table of the schema, by its name.
func (s *Snapshot) Tables() (map[string][]string, error) {
	var columns []struct {
		Table  string `db:"table_name"`
		Column string `db:"column_name"`
	}
	err := s.tx.SelectContext(s.ctx, &columns, `SELECT c.relname AS table_name, a.attname AS column_name FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum`, s.schema)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	all := map[string][]string{}
	for _, c := range columns {
		all[c.Table] = append(all[c.Table], c.Column)
	}
	return all, nil
}

// Rows gives each row of a table its values in those columns, each nil, int64, float64, bool,
// string, []byte or time.Time. They are for the call only.
func (s *Snapshot) Rows(table string, columns []string, each func(values []any) error) error {
	names := slices.Clone(columns)
	for i, column := range names {
		names[i] = pgx.Identifier{column}.Sanitize()
	}
	rows, err := s.tx.QueryxContext(s.ctx, `SELECT `+strings.Join(names, ", ")+` FROM `+pgx.Identifier{s.schema, table}.Sanitize())
	if err != nil {
		return err
	}
	defer rows.Close()
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Integers reads the integers of a query's first row, which is there; a NULL reads as 0.
func (s *Snapshot) Integers(query string, into ...*int64) error {
	values, scans := make([]sql.NullInt64, len(into)), make([]any, len(into))
	for i := range values {
		scans[i] = &values[i]
	}
	if err := s.tx.QueryRowxContext(s.ctx, query).Scan(scans...); err != nil {
		return err
	}
	for i := range values {
		*into[i] = values[i].Int64
	}
	return nil
}
