package pgmodels

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"

	"coffre/projections"
)

// snapshot is one generation in a read transaction. It shares the generation's lock.
type snapshot struct {
	d  *tables
	tx *sqlx.Tx
	at projections.Checkpoint
}

// Snapshot opens the generation of a read model in force; nil when there is none. The error is
// projections.ErrDamaged when it is no read model.
func (m *Medium) Snapshot(ctx context.Context, name string, version int) (_ projections.Snapshot, err error) {
	of := &model{m, name, version}
	generation, err := of.inForce(ctx)
	if err != nil || generation == 0 {
		return nil, err
	}
	d, err := of.open(ctx, generation)
	if err != nil || d == nil {
		return nil, err
	}
	s := &snapshot{d: d}
	defer func() {
		if err != nil {
			err = errors.Join(damaged(err), s.Close())
		}
	}()
	if s.tx, err = d.reader.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
		return nil, err
	}
	for _, set := range []string{`SET LOCAL statement_timeout = 0`, `SET LOCAL idle_in_transaction_session_timeout = 0`} { // ctx bounds it
		if _, err = s.tx.ExecContext(ctx, set); err != nil {
			return nil, err
		}
	}
	if s.at, err = projections.ReadCheckpoint(ctx, s.tx); err != nil {
		return nil, err
	}
	return s, nil
}

// damaged makes of an error that PostgreSQL gives about a table, a column or a page
// projections.ErrDamaged.
func damaged(err error) error {
	var told *pgconn.PgError
	if errors.Is(err, sql.ErrNoRows) || errors.As(err, &told) && (strings.HasPrefix(told.Code, "42") || strings.HasPrefix(told.Code, "XX")) {
		return projections.ErrDamaged
	}
	return err
}

// At implements projections.Snapshot.
func (s *snapshot) At() projections.Checkpoint { return s.at }

// Close implements projections.Snapshot.
func (s *snapshot) Close() error {
	var err error
	if s.tx != nil {
		err = ignoreDone(s.tx.Rollback())
	}
	return errors.Join(err, s.d.Close())
}

// Rows implements projections.Snapshot.
func (s *snapshot) Rows(ctx context.Context, t projections.Table) iter.Seq2[[]any, error] {
	names, keys := make([]string, len(t.Columns)), make([]string, len(t.Key))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	for i, k := range t.Key {
		if keys[i] = t.Columns[k].Name; t.Columns[k].Text {
			keys[i] += ` COLLATE "C"`
		}
	}
	return func(yield func([]any, error) bool) {
		var rows *sqlx.Rows
		_, err := s.tx.ExecContext(ctx, `SAVEPOINT before`) // a table that cannot be read ends no transaction
		if err == nil {
			rows, err = s.tx.QueryxContext(ctx, `SELECT `+strings.Join(names, ", ")+` FROM `+t.Name+` ORDER BY `+strings.Join(keys, ", "))
		}
		if err != nil {
			err = damaged(fmt.Errorf("read model: %w", err))
			if _, back := s.tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT before`); back != nil {
				err = fmt.Errorf("read model: %w", back)
			}
			yield(nil, err)
			return
		}
		defer func() { _ = rows.Close() }() // what it would tell, Err told
		for rows.Next() {
			row, err := rows.SliceScan()
			if err != nil {
				yield(nil, fmt.Errorf("read model: %w", err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, damaged(fmt.Errorf("read model: %w", err)))
		}
	}
}
