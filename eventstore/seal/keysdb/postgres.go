package keysdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
)

const (
	schema = "coffre_keys"
	// turnLock is the advisory lock that whoever changes something holds until the end
	// of its transaction: changes of all processes are in one order, as on one machine.
	turnLock = 0x6366_0002
	// turnTime bounds a transaction, the wait for its turn included.
	turnTime = 20 * time.Second
	// scrubPatience is how long Scrub waits for readers of an older state.
	scrubPatience = 5 * time.Second
	// Connections of one process. Whoever reads keys reads many at a time.
	readers = 3
	writers = 2 // one for the changes, one to scrub
)

// OpenPostgres opens the key database in a PostgreSQL, in the schema coffre_keys,
// and makes what is missing. dsn is an address of the form
// postgres://user@host:port/database. Any number of processes may have it open.
//
// doubts are sentences for the operator: settings of the server under which a key
// may be lost that the log needs.
func OpenPostgres(ctx context.Context, dsn string) (db *DB, doubts []string, err error) {
	e := &postgresEngine{}
	if e.writer, err = pgdb.Open(dsn, pgdb.Options{Schema: schema, Name: "coffre keys", Conns: writers}); err != nil {
		return nil, nil, fmt.Errorf("open the key database: %w", err)
	}
	if err = pgdb.Prepare(ctx, e.writer, schema); err == nil {
		doubts, err = pgdb.Doubts(ctx, e.writer)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the key database: %w", err), e.writer.Close())
	}
	if e.reader, err = pgdb.Open(dsn, pgdb.Options{Schema: schema, Name: "coffre keys", Conns: readers, ReadOnly: true}); err != nil {
		return nil, nil, errors.Join(err, e.writer.Close())
	}
	return start(e, e.writer, e.reader, &pgdb.Room{}), doubts, nil
}

// postgresEngine is one schema of a server that several processes share.
type postgresEngine struct{ writer, reader *sqlx.DB }

func (e *postgresEngine) words(step string) string { return pgdb.Translate(step) }

func (e *postgresEngine) insert() string { return `INSERT INTO ` }

func (e *postgresEngine) rows(ctx context.Context, db *DB, query string, args []any, n int, each func(row []any) error) error {
	return db.query(ctx, query, args, func(rows *sqlx.Rows) error { return scanEach(rows, n, each) })
}

// begin waits for the turn first: every later statement then sees all that was
// committed before, and nothing changes under it.
func (e *postgresEngine) begin(ctx context.Context) (context.Context, *sqlx.Tx, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	tx, err := e.writer.BeginTxx(ctx, nil)
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, turnLock); err != nil {
		cancel()
		return nil, nil, nil, errors.Join(err, tx.Rollback())
	}
	return ctx, tx, cancel, nil
}

func (e *postgresEngine) judge(err error, commit bool) error {
	switch {
	case pgdb.Full(err):
		return fmt.Errorf("key database: %w: %w", eventstore.ErrDiskFull, err)
	case commit && pgdb.Unsettled(err):
		return fmt.Errorf("key database: %w: %w: %w", eventstore.ErrUnavailable, eventstore.ErrOutcomeUnknown, err)
	case pgdb.Away(err):
		return fmt.Errorf("key database: %w: %w", eventstore.ErrUnavailable, err)
	}
	return err
}

// again: a connection may have died while it rested, and the server may be back.
func (e *postgresEngine) again(err error) bool {
	return errors.Is(err, eventstore.ErrUnavailable) && !errors.Is(err, eventstore.ErrOutcomeUnknown)
}

func (e *postgresEngine) scrub(ctx context.Context) error {
	return pgdb.Vacuum(ctx, e.writer, schema, scrubPatience)
}

func (e *postgresEngine) bulk(context.Context) error { return nil }

func (e *postgresEngine) tables() string {
	return `SELECT tablename::text FROM pg_tables WHERE schemaname = '` + schema + `' ORDER BY tablename`
}

func (e *postgresEngine) renumber(ctx context.Context, table string) error {
	var columns []string
	if err := e.writer.SelectContext(ctx, &columns, `SELECT column_name::text FROM information_schema.columns
		WHERE table_schema = $1 AND table_name = $2 AND is_identity = 'YES'`, schema, table); err != nil {
		return err
	}
	for _, column := range columns {
		if _, err := e.writer.ExecContext(ctx, `SELECT setval(pg_get_serial_sequence($1, $2), (SELECT COALESCE(max(`+column+`), 0) + 1 FROM `+table+`), false)`, table, column); err != nil {
			return err
		}
	}
	return nil
}

func (e *postgresEngine) unbounded(ctx context.Context, conn *sqlx.Conn, f func() error) error {
	return pgdb.Unbounded(ctx, conn, f)
}

func (e *postgresEngine) owned(ctx context.Context) (bool, error) {
	return pgdb.Owns(ctx, e.reader, schema)
}

func (e *postgresEngine) snapshot() *sql.TxOptions {
	return &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
}

func (e *postgresEngine) close() error { return errors.Join(e.reader.Close(), e.writer.Close()) }
