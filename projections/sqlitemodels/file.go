package sqlitemodels

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"
	sqlitedriver "github.com/ncruces/go-sqlite3/driver"

	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
)

// file is one generation, opened.
type file struct {
	db         *sqlitedb.DB
	path       string
	generation int64
	pragmas    string           // of the connection that writes
	direct     *sqlitedb.Direct // runs Each
	closed     func()           // called once the file is closed

	conn     *sqlx.Conn            // the one that writes; nil until it is needed
	raw      *sqlite3.Conn         // conn without database/sql
	changes  map[string]change     // prepared on raw, by text
	prepared map[string]*sqlx.Stmt // on conn, by text
}

// change is a statement that changes tables, and how many arguments it takes.
type change struct {
	*sqlite3.Stmt
	arguments int
}

func newFile(db *sqlitedb.DB, path string, generation int64, pragmas string) *file {
	return &file{
		db: db, path: path, generation: generation, pragmas: pragmas, direct: sqlitedb.NewDirect(path, sqlitedb.Options{Cache: liveCache, Verified: true}),
		changes: map[string]change{}, prepared: map[string]*sqlx.Stmt{}, closed: func() {},
	}
}

func (f *file) Generation() int64 { return f.generation }
func (f *file) Reader() *sqlx.DB  { return f.db.Reader }

// writer takes the writing connection for good.
func (f *file) writer(ctx context.Context) (*sqlx.Conn, error) {
	if f.conn != nil {
		return f.conn, nil
	}
	conn, err := f.db.Writer.Connx(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, f.pragmas); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.Raw(func(c any) error { f.raw = c.(sqlitedriver.Conn).Raw(); return nil }); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	f.conn = conn
	return conn, nil
}

// releaseWriter gives the writing connection up.
func (f *file) releaseWriter() error {
	if f.conn == nil {
		return nil
	}
	var all error
	for _, s := range f.changes {
		all = errors.Join(all, s.Close())
	}
	for _, s := range f.prepared {
		all = errors.Join(all, s.Close())
	}
	all = errors.Join(all, f.conn.Close())
	f.conn, f.raw = nil, nil
	clear(f.changes)
	clear(f.prepared)
	return all
}

// row is a step of a statement.
type row struct{ s *sqlite3.Stmt }

func (r row) Int64(column int) int64  { return r.s.ColumnInt64(column) }
func (r row) Bytes(column int) []byte { return r.s.ColumnRawBlob(column) }
func (r row) Text(column int) []byte  { return r.s.ColumnRawText(column) }

// Each implements projections.Tables.
func (f *file) Each(ctx context.Context, query string, args []any, visit func(projections.Row) error) error {
	return f.direct.Each(ctx, query, args, func(s *sqlite3.Stmt) error { return visit(row{s}) })
}

// Begin implements projections.Tables.
func (f *file) Begin(ctx context.Context) (projections.Transaction, error) {
	conn, err := f.writer(ctx)
	if err != nil {
		return nil, fmt.Errorf("open read model: %w", err)
	}
	// A transaction that ended by itself with ctx would leave the statements after it
	// to commit one by one.
	tx, err := conn.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return nil, f.checkWriter(err)
	}
	return &transaction{f, tx}, nil
}

// checkWriter gives the writing connection up if err says that it broke.
func (f *file) checkWriter(err error) error {
	if fault(err) == projections.Away {
		_ = f.releaseWriter() // it is gone, whatever it says
	}
	return err
}

// transaction runs statements that are prepared on the writing connection.
type transaction struct {
	f  *file
	tx *sqlx.Tx
}

func (t *transaction) prepare(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s := t.f.prepared[query]; s != nil {
		return s, nil
	}
	if t.f.conn == nil {
		return nil, sql.ErrConnDone
	}
	s, err := t.f.conn.PreparexContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.f.prepared[query] = s
	return s, nil
}

// failing says of an insertion that what it has done stays when it fails, so that SQLite
// copies no page before it into a journal of the statement's own. Whoever made it fail rolls
// the whole transaction back.
func failing(query string) string {
	if rest, found := strings.CutPrefix(query, "INSERT INTO"); found {
		return "INSERT OR FAIL INTO" + rest
	}
	return query
}

// prepareChange prepares a statement for Exec, which most of the time of a build is spent in:
// database/sql, which locks, copies and makes a result for each call, stays out of it.
func (t *transaction) prepareChange(query string) (change, error) {
	if c, found := t.f.changes[query]; found {
		return c, nil
	}
	if t.f.raw == nil {
		return change{}, sql.ErrConnDone
	}
	s, _, err := t.f.raw.Prepare(failing(query))
	if err != nil {
		return change{}, fmt.Errorf("prepare: %w", err)
	}
	c := change{s, s.BindCount()}
	t.f.changes[query] = c
	return c, nil
}

func (t *transaction) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	c, err := t.prepareChange(query)
	if err != nil {
		return 0, err
	}
	if len(args) != c.arguments {
		return 0, fmt.Errorf("sqlitemodels: %d arguments for %d", len(args), c.arguments)
	}
	for i, arg := range args {
		if err := sqlitedb.Bind(c.Stmt, i+1, arg); err != nil {
			return 0, err
		}
	}
	if former := t.f.raw.SetInterrupt(ctx); former != ctx {
		defer t.f.raw.SetInterrupt(former)
	}
	if err := c.Exec(); err != nil {
		return 0, err
	}
	return t.f.raw.Changes(), nil
}

func (t *transaction) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	s, err := t.prepare(ctx, query)
	if err != nil {
		return false, err
	}
	err = s.QueryRowxContext(ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (t *transaction) Commit() error { return t.f.checkWriter(t.tx.Commit()) }

func (t *transaction) Rollback() error {
	err := t.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return t.f.checkWriter(err)
}

// Clean implements projections.Tables: it empties the write-ahead log.
func (f *file) Clean(ctx context.Context) (bool, error) {
	conn, err := f.writer(ctx)
	if err != nil {
		return false, err
	}
	var busy, frames, moved int
	err = conn.QueryRowxContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved)
	if errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.LOCKED) {
		return false, nil
	}
	return busy == 0, err
}

// passing are the codes of SQLite that are about the file system or the moment.
var passing = []sqlite3.ErrorCode{
	sqlite3.BUSY, sqlite3.LOCKED, sqlite3.NOMEM, sqlite3.INTERRUPT, sqlite3.IOERR,
	sqlite3.FULL, sqlite3.CANTOPEN, sqlite3.PROTOCOL, sqlite3.READONLY, sqlite3.PERM,
}

// Fault implements projections.Tables.
func (f *file) Fault(err error) projections.Fault { return fault(err) }

func fault(err error) projections.Fault {
	for _, gone := range []error{driver.ErrBadConn, sql.ErrConnDone, context.DeadlineExceeded} {
		if errors.Is(err, gone) {
			return projections.Away
		}
	}
	for _, bad := range []error{sqlite3.IOERR_DATA, sqlite3.IOERR_CORRUPTFS, sqlite3.CORRUPT, sqlite3.NOTADB} {
		if errors.Is(err, bad) {
			return projections.Damaged
		}
	}
	for _, code := range passing {
		if errors.Is(err, code) {
			return projections.Passing
		}
	}
	return projections.NoFault
}

// Close implements projections.Tables.
func (f *file) Close() error {
	err := errors.Join(f.releaseWriter(), f.direct.Close(), f.db.Close())
	f.closed()
	return err
}

// removeJournal removes the journal of a build that was closed, which holds nothing then.
func (f *file) removeJournal() error {
	if err := os.Remove(f.path + "-journal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("finish read model: %w", err)
	}
	return nil
}

// Remove implements projections.Tables.
func (f *file) Remove(context.Context) error {
	var all error
	for _, beside := range []string{"", ".new"} { // where sqlitedb begins a file
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(f.path + beside + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				all = errors.Join(all, fmt.Errorf("drop read model: %w", err))
			}
		}
	}
	return all
}
