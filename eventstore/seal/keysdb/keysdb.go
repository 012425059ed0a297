// Package keysdb opens the mutable database beside the log that holds wrapped
// keys, pseudonyms and the requests that were answered: a file, keys.db ([Open]), or
// a schema of a PostgreSQL that several processes share ([OpenPostgres]). It is a
// system of record: what is lost here is lost. Its SQL is written once, in SQLite's
// words.
//
// Changes of all callers that wait at the same time share one transaction, and so
// one sync of the medium ([Do]).
//
// Invariant: a change whose Do returned nil survives a power cut; changes of all
// processes happen one after the other, each whole or not at all.
package keysdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

// Limits of the queue.
const (
	maxQueued = 4096 // changes that wait; more are answered eventstore.ErrOverloaded
	reserved  = 512  // of these places only changes of eventstore.Reserved may take (rule C-6)
	maxBatch  = 256  // changes in one transaction
	linger    = 20 * time.Millisecond
)

// engine is what the databases do each in its own way.
type engine interface {
	// words puts a migration, which is written for SQLite, into the engine's.
	words(step string) string
	// rows calls each for every row, of n values, of a read-only query, until it returns an
	// error. The values are as database/sql gives them, and each may keep them.
	rows(ctx context.Context, db *DB, query string, args []any, n int, each func(row []any) error) error
	// insert is how an insertion begins whose failure undoes the whole transaction.
	insert() string
	// begin starts a transaction that no other writer's overlaps. Statements in it
	// take the context it returns; end releases that.
	begin(ctx context.Context) (in context.Context, tx *sqlx.Tx, end func(), err error)
	// judge says in the errors of the port what an error means, and of one of commit,
	// which may have happened, that it may.
	judge(err error, commit bool) error
	// again reports whether a batch that was not committed may simply be run again.
	again(err error) bool
	scrub(ctx context.Context) error
	// bulk gets ready for transactions of very many rows.
	bulk(ctx context.Context) error
	// tables is a query for the names of all tables, in one order.
	tables() string
	// renumber lets new rows of a table get numbers above those that it holds.
	renumber(ctx context.Context, table string) error
	// unbounded runs f, whose statements on conn may take as long as ctx allows.
	unbounded(ctx context.Context, conn *sqlx.Conn, f func() error) error
	// owned reports whether nothing is refused to the role of the connections.
	owned(ctx context.Context) (bool, error)
	// snapshot says how a transaction begins that only reads, all as of one moment.
	snapshot() *sql.TxOptions
	close() error
}

// DB is an open key database. Its methods may be called concurrently.
type DB struct {
	engine engine
	reads  statements
	writes statements
	rows   guarded
	steps  map[string]int // see Steps; nil: this is a database

	insertions sync.Map // statements of Tx.AddWhere

	room      *pgdb.Room                       // on a server's disk; nil: files, whose reserve tells
	companion atomic.Pointer[func(*Tx) error]  // see Accompany
	reserve   atomic.Pointer[sqlitedb.Reserve] // see UseReserve

	mu     sync.Mutex
	queue  []*change
	eager  int   // changes in queue that somebody waits for
	failed error // set when the medium broke a promise; ends every later change
	closed bool
	wake   chan struct{} // of capacity 1
	done   chan struct{} // closed when the goroutine has ended
}

// change is one queued function. The sequencer writes err before it closes done.
type change struct {
	run   func(*Tx) error
	lazy  bool
	class eventstore.Class

	done chan struct{}
	err  error
}

func start(e engine, writer, reader *sqlx.DB, room *pgdb.Room) *DB {
	db := &DB{
		engine: e,
		room:   room,
		reads:  statements{db: reader},
		writes: statements{db: writer},
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	go db.sequence()
	return db
}

// Close writes what is queued and closes the database. Later changes answer
// eventstore.ErrClosed. A second Close does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	db.mu.Unlock()
	db.signal()
	<-db.done
	return errors.Join(db.reads.close(), db.writes.close(), db.engine.close())
}

// Scrub removes what was deleted or overwritten: from a file and its write-ahead
// log every byte, from PostgreSQL's tables the rows ([pgdb.Vacuum] says what stays).
// It fails, and may be repeated, while somebody still reads an older state.
func (db *DB) Scrub(ctx context.Context) error { return db.engine.scrub(ctx) }

// Read prepares a query for the read-only connections, once; ? marks parameters.
// The statement belongs to db: do not close it.
func (db *DB) Read(query string) (*sqlx.Stmt, error) { return db.reads.get(query) }

// Tx is the transaction a change runs in.
type Tx struct {
	ctx   context.Context
	tx    *sqlx.Tx
	db    *DB
	bound map[string]*sqlx.Stmt
	fresh []string // queries met for the first time
	// counted is how the sums of tables have moved, by table.
	counted map[string]*sum
}

func (tx *Tx) stmt(query string) (*sqlx.Stmt, error) {
	if s, ok := tx.bound[query]; ok {
		return s, nil
	}
	var s *sqlx.Stmt
	if prepared, ok := tx.db.writes.m.Load(query); ok {
		s = tx.tx.StmtxContext(tx.ctx, prepared)
	} else {
		// To prepare it for good takes the connection that this transaction holds.
		var err error
		if s, err = tx.tx.PreparexContext(tx.ctx, tx.tx.Rebind(query)); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		tx.fresh = append(tx.fresh, query)
	}
	tx.bound[query] = s
	return s, nil
}

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	s, err := tx.stmt(query)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(tx.ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Row scans the first row of a query into dest, or returns sql.ErrNoRows.
func (tx *Tx) Row(query string, args []any, dest ...any) error {
	s, err := tx.stmt(query)
	if err != nil {
		return err
	}
	return s.QueryRowxContext(tx.ctx, args...).Scan(dest...)
}

// Select scans all rows of a query into dest, a pointer to a slice.
func (tx *Tx) Select(dest any, query string, args ...any) error {
	s, err := tx.stmt(query)
	if err != nil {
		return err
	}
	return s.SelectContext(tx.ctx, dest, args...)
}

// Do runs a change in a transaction that it shares with others, and returns when
// it is durable. run may be called more than once, and must then start afresh: its
// error undoes its own writes and nobody else's. Answers that write nothing are
// therefore results, not errors.
//
// When ctx ends while the change waits nothing was written; when it ends later
// the error wraps eventstore.ErrOutcomeUnknown. Other errors: run's own;
// eventstore.ErrOverloaded, ErrDiskFull, ErrClosed; ErrFailed after the medium broke a
// promise, until the database is opened again; and ErrUnavailable when PostgreSQL is
// away, with ErrOutcomeUnknown when it went while it committed.
func Do[T any](ctx context.Context, db *DB, run func(*Tx) (T, error)) (T, error) {
	return DoAs(ctx, db, eventstore.Ordinary, run)
}

// DoAs is Do with the share of the queue that the change may use.
func DoAs[T any](ctx context.Context, db *DB, class eventstore.Class, run func(*Tx) (T, error)) (T, error) {
	var result, none T
	c := &change{class: class, done: make(chan struct{})}
	c.run = func(tx *Tx) (err error) {
		result, err = run(tx)
		return err
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if err := db.enqueue(c); err != nil {
		return none, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if db.withdraw(c) {
			return none, ctx.Err()
		}
		return none, fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, ctx.Err())
	}
	if c.err != nil {
		return none, c.err
	}
	return result, nil
}

// Post queues a change that nobody waits for. It happens after all changes queued
// before and before all queued later, within some milliseconds; a crash or a full
// disk may lose it. The error is that of a change not taken: eventstore.ErrClosed,
// ErrOverloaded or ErrFailed.
func (db *DB) Post(run func(*Tx) error) error {
	return db.enqueue(&change{run: run, lazy: true, done: make(chan struct{})})
}

// Accompany lets run take part in every transaction from now on, after the changes in it.
// Its error undoes them all. It is called once at most.
func (db *DB) Accompany(run func(*Tx) error) { db.companion.Store(&run) }

// UseReserve names the room on the disk that changes of eventstore.Reserved may use when
// there is no other. It is called once at most; without it they find the disk full as
// others do.
func (db *DB) UseReserve(r *sqlitedb.Reserve) { db.reserve.Store(r) }

// Short reports whether the server of the database lacks room on its disk, by how changes
// ended lately; false for a database in files.
func (db *DB) Short() bool { return db.room.Short() }

func (db *DB) enqueue(c *change) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case db.closed:
		return eventstore.ErrClosed
	case db.failed != nil:
		return db.failed
	case len(db.queue) >= maxQueued, c.class != eventstore.Reserved && len(db.queue) >= maxQueued-reserved:
		return eventstore.ErrOverloaded
	}
	db.queue = append(db.queue, c)
	if !c.lazy {
		db.eager++
	}
	// One more change that nobody waits for must not put off those before it.
	if !c.lazy || len(db.queue) == 1 || len(db.queue) >= maxBatch {
		db.signal()
	}
	return nil
}

// withdraw takes c out of the queue and reports whether it was still there.
func (db *DB) withdraw(c *change) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	for i, other := range db.queue {
		if other == c {
			db.queue = append(db.queue[:i:i], db.queue[i+1:]...)
			db.eager--
			return true
		}
	}
	return false
}

func (db *DB) signal() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// sequence is the one writer. It takes what is queued into one transaction at a
// time; while that one is synced to the medium the next batch gathers.
func (db *DB) sequence() {
	defer close(db.done)
	for {
		batch, wait, ended := db.take()
		switch {
		case ended:
			return
		case len(batch) > 0:
			db.write(batch)
		case wait > 0: // only changes nobody waits for: they may ride with the next
			timer := time.NewTimer(wait)
			select {
			case <-db.wake:
			case <-timer.C:
				if batch, _, _ = db.takeAll(); len(batch) > 0 {
					db.write(batch)
				}
			}
			timer.Stop()
		default:
			<-db.wake
		}
	}
}

// take returns the next batch, or how long to wait for one.
func (db *DB) take() (batch []*change, wait time.Duration, ended bool) {
	db.mu.Lock()
	due := db.eager > 0 || len(db.queue) >= maxBatch || db.closed
	queued := len(db.queue)
	db.mu.Unlock()
	if !due && queued > 0 {
		return nil, linger, false
	}
	return db.takeAll()
}

func (db *DB) takeAll() (batch []*change, wait time.Duration, ended bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := min(len(db.queue), maxBatch)
	if n == 0 {
		return nil, 0, db.closed
	}
	batch = append(batch, db.queue[:n]...)
	rest := copy(db.queue, db.queue[n:])
	clear(db.queue[rest:])
	db.queue = db.queue[:rest]
	for _, c := range batch {
		if !c.lazy {
			db.eager--
		}
	}
	return batch, 0, false
}

// write runs a batch in one transaction. When one change errs, all start again,
// each alone, so that none answers for another.
func (db *DB) write(batch []*change) {
	err := db.transaction(batch)
	if own, ok := errors.AsType[*changeError](err); ok && len(batch) > 1 {
		for _, c := range batch {
			db.write([]*change{c})
		}
		return
	} else if ok {
		err = own.err
	}
	db.room.Note(err)
	if errors.Is(err, eventstore.ErrDiskFull) {
		batch = db.makeRoom(batch, err)
	}
	finish(batch, err)
}

// makeRoom gives the reserve up for those of a batch that may use it, if there is one, and
// writes them; the others found the disk full. It returns whom it has not answered.
func (db *DB) makeRoom(batch []*change, full error) []*change {
	reserve := db.reserve.Load()
	if reserve == nil {
		return batch
	}
	reserve.Filled()
	var must, may []*change
	for _, c := range batch {
		if c.class == eventstore.Reserved {
			must = append(must, c)
		} else {
			may = append(may, c)
		}
	}
	if len(must) == 0 || !reserve.Release() {
		return batch
	}
	finish(may, full)
	db.write(must)
	return nil
}

// changeError is the error of one change, apart from those of the transaction.
type changeError struct{ err error }

func (e *changeError) Error() string { return e.err.Error() }

func (db *DB) transaction(batch []*change) error {
	db.mu.Lock()
	failed := db.failed
	db.mu.Unlock()
	if failed != nil {
		return failed
	}
	err := db.attempt(batch)
	if db.engine.again(err) {
		err = db.attempt(batch)
	}
	if errors.Is(err, eventstore.ErrFailed) {
		db.mu.Lock()
		db.failed = err
		db.mu.Unlock()
	}
	return err
}

func (db *DB) attempt(batch []*change) error {
	// Callers come and go; the transaction of all of them has no caller's context.
	ctx, sqlTx, end, err := db.engine.begin(context.Background())
	if err != nil {
		return db.engine.judge(err, false)
	}
	defer end()
	tx := &Tx{ctx: ctx, tx: sqlTx, db: db, bound: make(map[string]*sqlx.Stmt, 4)}
	runs := make([]func(*Tx) error, 0, len(batch)+1)
	for _, c := range batch {
		runs = append(runs, c.run)
	}
	if companion := db.companion.Load(); companion != nil {
		runs = append(runs, *companion)
	}
	for _, run := range runs {
		if err := run(tx); err != nil {
			if undo := sqlTx.Rollback(); undo != nil {
				return db.engine.judge(errors.Join(err, undo), false)
			}
			told := db.engine.judge(err, false)
			if errors.Is(told, eventstore.ErrFailed) || errors.Is(told, eventstore.ErrUnavailable) {
				return told
			}
			return &changeError{told}
		}
	}
	if err := tx.settle(); err != nil {
		return db.engine.judge(errors.Join(err, sqlTx.Rollback()), false)
	}
	if err := sqlTx.Commit(); err != nil {
		return db.engine.judge(err, true)
	}
	for _, query := range tx.fresh {
		if _, err := db.writes.get(query); err != nil {
			return nil // it is durable; the next transaction prepares it again
		}
	}
	return nil
}

func finish(batch []*change, err error) {
	for _, c := range batch {
		c.err = err
		close(c.done)
	}
}

// statements prepares each query once.
type statements struct {
	db *sqlx.DB
	m  sync.Map // query → *sqlx.Stmt
}

func (s *statements) get(query string) (*sqlx.Stmt, error) {
	if prepared, ok := s.m.Load(query); ok {
		return prepared.(*sqlx.Stmt), nil
	}
	prepared, err := s.db.Preparex(s.db.Rebind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if former, raced := s.m.LoadOrStore(query, prepared); raced {
		return former.(*sqlx.Stmt), prepared.Close()
	}
	return prepared, nil
}

func (s *statements) close() error {
	var errs []error
	s.m.Range(func(_, prepared any) bool {
		errs = append(errs, prepared.(*sqlx.Stmt).Close())
		return true
	})
	return errors.Join(errs...)
}
