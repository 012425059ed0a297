package keysdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	// Pages of the write-ahead log before it is moved into the database: 16 MiB. Rows
	// in flight are changed again soon, and then their pages are moved once.
	checkpointPages = 4096
	// Bytes of page cache: rows that are looked up were mostly not looked up before, and
	// the system's own cache has their pages.
	writerCache = 12 << 20
	readerCache = 1 << 20 // of connections that walk whole tables, mostly
	directCache = 3 << 20 // of connections that look rows up
	pageSize    = 4 << 10 // bytes; rows are small and their keys random, so each row dirties pages of its own
)

// Open opens or creates the database at path. Deleted content is overwritten
// (SecureDelete) whatever o says; a PageSize of 0 means 4 KiB, a Cache of 0 means 12 MiB, 3 MiB
// for connections that look rows up, and 1 MiB for others that read.
func Open(ctx context.Context, path string, o sqlitedb.Options) (*DB, error) {
	o.SecureDelete = true
	if o.PageSize == 0 {
		o.PageSize = pageSize
	}
	direct := o
	if o.Cache == 0 {
		o.Cache, o.ReaderCache, direct.Cache = writerCache, readerCache, directCache
	}
	db, err := sqlitedb.Open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("open the key database: %w", err)
	}
	if _, err := db.Writer.ExecContext(ctx, fmt.Sprintf(`PRAGMA wal_autocheckpoint = %d`, checkpointPages)); err != nil {
		return nil, errors.Join(fmt.Errorf("open the key database: %w", err), db.Close())
	}
	return start(sqliteEngine{db, sqlitedb.NewDirect(path, direct)}, db.Writer, db.Reader, nil), nil
}

// sqliteEngine is one file: its one writing connection is the only writer.
type sqliteEngine struct {
	db     *sqlitedb.DB
	direct *sqlitedb.Direct
}

// Statements of a migration that make an index, and that remove one.
var (
	newIndex = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX [^;]*;`)
	oldIndex = regexp.MustCompile(`(?m)^DROP INDEX [^;]*;`)
)

// words has indexes sorted beside the database, and nothing else: what a migration changes
// holds wrapped keys. Pages of an index that is removed are not overwritten: before that SQLite
// would copy all of them into memory. An index may be removed so that holds no key, and nothing of
// a row that is ever deleted. When the removal fails, so does the opening of the database.
func (e sqliteEngine) words(step string) string {
	step = newIndex.ReplaceAllStringFunc(step, func(index string) string { return sqlitedb.Spill + index + sqlitedb.NoSpill })
	return oldIndex.ReplaceAllStringFunc(step, func(index string) string { return `PRAGMA secure_delete=OFF;` + index + `PRAGMA secure_delete=ON;` })
}

// insert says that rows inserted before one that fails stay, so that SQLite copies no page
// into a journal of the statement's own first: the transaction is rolled back in any case.
func (e sqliteEngine) insert() string { return `INSERT OR FAIL INTO ` }

// noBytes is what an empty value is read over: without it that would be one of no type.
var noBytes any = []byte{}

func (e sqliteEngine) rows(ctx context.Context, _ *DB, query string, args []any, n int, each func(row []any) error) error {
	return e.direct.Each(ctx, query, args, func(s *sqlite3.Stmt) error {
		row := make([]any, n)
		for i := range row {
			row[i] = noBytes
		}
		if err := s.Columns(row...); err != nil {
			return err
		}
		return each(row)
	})
}

func (e sqliteEngine) begin(ctx context.Context) (context.Context, *sqlx.Tx, func(), error) {
	tx, err := e.db.Writer.BeginTxx(ctx, nil)
	return ctx, tx, func() {}, err
}

// judge decides what an error of the medium means. After a failed sync nobody
// knows what is durable: pages may be marked clean that never were written.
func (e sqliteEngine) judge(err error, _ bool) error {
	switch {
	case errors.Is(err, sqlite3.FULL):
		return fmt.Errorf("%w: %w", eventstore.ErrDiskFull, err)
	case errors.Is(err, sqlite3.IOERR), errors.Is(err, sqlite3.CORRUPT), errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.READONLY):
		return fmt.Errorf("key database: %w: %w", eventstore.ErrFailed, err)
	}
	return err
}

func (e sqliteEngine) again(error) bool { return false }

// scrub moves every change out of the write-ahead log and empties it.
func (e sqliteEngine) scrub(ctx context.Context) error { return e.db.Truncate(ctx) }

// bulkCache has room for what a transaction of a copy changes of its indexes: a page that
// leaves the cache before the commit is written as often as it is changed again.
const bulkCache = 128 << 20

func (e sqliteEngine) bulk(ctx context.Context) error {
	_, err := e.db.Writer.ExecContext(ctx, fmt.Sprintf(`PRAGMA cache_size = -%d`, bulkCache>>10))
	return err
}

func (e sqliteEngine) tables() string {
	return `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`
}

func (e sqliteEngine) renumber(context.Context, string) error { return nil } // goes without saying

func (e sqliteEngine) unbounded(_ context.Context, _ *sqlx.Conn, f func() error) error { return f() }

func (e sqliteEngine) owned(context.Context) (bool, error) { return true, nil }

func (e sqliteEngine) close() error { return errors.Join(e.direct.Close(), e.db.Close()) }

// snapshot: in a write-ahead log every transaction reads as of when it first read.
func (e sqliteEngine) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }
