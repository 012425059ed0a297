package pgmodels

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
	"coffre/projections"
)

// tables are one generation, opened: this process shares the generation's lock.
type tables struct {
	m             *Medium
	name          string // of the schema
	generation    int64
	write, reader *sqlx.DB

	conn  *sqlx.Conn        // the one that writes; nil until it is needed, and after it broke
	texts map[string]string // queries with their parameters as PostgreSQL writes them
}

func (d *tables) Generation() int64 { return d.generation }
func (d *tables) Reader() *sqlx.DB  { return d.reader }

// writer takes the writing connection for good.
func (d *tables) writer(ctx context.Context) (*sqlx.Conn, error) {
	if d.conn == nil {
		conn, err := d.write.Connx(ctx)
		if err != nil {
			return nil, err
		}
		d.conn = conn
	}
	return d.conn, nil
}

// releaseWriter gives the writing connection up; the next Begin takes another.
func (d *tables) releaseWriter() {
	if d.conn != nil {
		_ = d.conn.Close() // it is gone, or back in its pool
		d.conn = nil
	}
}

// Begin implements projections.Tables.
func (d *tables) Begin(ctx context.Context) (projections.Transaction, error) {
	conn, err := d.writer(ctx)
	if err != nil {
		return nil, fmt.Errorf("open read model: %w", err)
	}
	// A transaction that ended by itself with ctx would leave the statements after it
	// to commit one by one.
	tx, err := conn.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		if pgdb.Away(err) {
			d.releaseWriter()
		}
		return nil, err
	}
	return &transaction{d: d, tx: tx}, nil
}

// transaction runs statements as texts. pgx prepares each once; and database/sql waits
// for itself when a connection breaks under a statement that is prepared on it and not
// on its transaction.
type transaction struct {
	d      *tables
	tx     *sqlx.Tx
	broken bool // the connection is, as a statement found
}

// text returns the query as PostgreSQL writes it.
func (t *transaction) text(query string) string {
	text := t.d.texts[query]
	if text == "" {
		text = t.tx.Rebind(query)
		t.d.texts[query] = text
	}
	return text
}

// check remembers a connection that broke.
func (t *transaction) check(err error) error {
	t.broken = t.broken || pgdb.Away(err)
	return err
}

func (t *transaction) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(ctx, t.text(query), args...)
	if err != nil {
		return 0, t.check(err)
	}
	return result.RowsAffected()
}

func (t *transaction) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	err = t.tx.QueryRowxContext(ctx, t.text(query), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, t.check(err)
}

func (t *transaction) Commit() error   { return t.end(t.tx.Commit()) }
func (t *transaction) Rollback() error { return t.end(ignoreDone(t.tx.Rollback())) }

// end gives the connection up if it broke.
func (t *transaction) end(err error) error {
	if t.check(err); t.broken {
		t.d.releaseWriter()
	}
	return err
}

// Clean implements projections.Tables.
func (d *tables) Clean(ctx context.Context) (bool, error) {
	err := pgdb.Vacuum(ctx, d.m.control, d.name, cleanWait)
	if errors.Is(err, pgdb.ErrSeen) {
		return false, nil
	}
	return err == nil, err
}

// row is one row in the binary form of the protocol.
type row struct{ columns [][]byte }

func (r *row) Int64(column int) int64 {
	switch b := r.columns[column]; len(b) {
	case 8:
		return int64(binary.BigEndian.Uint64(b))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (r *row) Bytes(column int) []byte { return r.columns[column] }
func (r *row) Text(column int) []byte  { return r.columns[column] }

// Each implements projections.Tables.
func (d *tables) Each(ctx context.Context, query string, args []any, visit func(projections.Row) error) error {
	conn, err := d.reader.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver any) error {
		// The first argument asks for the binary form of every column.
		with := append(make([]any, 0, 1+len(args)), pgx.QueryResultFormats{pgx.BinaryFormatCode})
		rows, err := driver.(*stdlib.Conn).Conn().Query(ctx, d.reader.Rebind(query), append(with, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var r row
		for rows.Next() {
			r.columns = rows.RawValues()
			if err := visit(&r); err != nil {
				return err
			}
		}
		if rows.Err() != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		return rows.Err()
	})
}

// Fault implements projections.Tables.
func (d *tables) Fault(err error) projections.Fault {
	switch {
	case pgdb.Missing(err):
		return projections.Dropped
	case pgdb.Damaged(err):
		return projections.Damaged
	case pgdb.Away(err):
		return projections.Away
	}
	return projections.NoFault
}

// Close implements projections.Tables.
func (d *tables) Close() error {
	d.releaseWriter()
	var all error
	for _, db := range []*sqlx.DB{d.reader, d.write} {
		if db != nil {
			all = errors.Join(all, db.Close())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), dropTime)
	defer cancel()
	d.m.session.Unshare(ctx, generationLock(d.name))
	return all
}

// Remove implements projections.Tables.
func (d *tables) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	_, err := d.m.session.Alone(ctx, generationLock(d.name), func() error { return dropSchema(ctx, d.m.control, d.name) })
	return err
}

func (d *tables) discard(ctx context.Context) error {
	return errors.Join(d.Close(), d.Remove(context.WithoutCancel(ctx)))
}
