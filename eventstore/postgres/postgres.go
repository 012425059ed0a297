// Package postgres keeps the event log in PostgreSQL, for several processes on
// several machines.
//
// In each process one goroutine writes: appends queue, and the sequencer takes all
// that wait into one transaction, so that they share one flush. Of the sequencers of
// all processes one at a time holds an advisory lock, from just before it inserts
// until it has committed: so positions become visible in their order, and nobody who
// reads in order ever skips a late one. The lock is taken last, after everything
// that needs no order.
//
// A sequencer remembers the heads of streams and may be wrong about them, because
// others write too. The index over stream and revision is the judge: where it
// objects the batch is done again with the lock taken first.
//
// Invariant: positions are 1, 2, 3 … without gaps, and a record acknowledged once
// was flushed, under its checksum, and is never changed: triggers refuse that, and
// the application's role may not even try.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/queue"
)

// Schema is where the tables of the log lie in the database.
const Schema = "eventlog"

const (
	defaultReaders = 4
	defaultLock    = 5 * time.Second
	answerMargin   = 5 * time.Second // what a statement may take beyond waiting for a lock
	connectWithin  = 5 * time.Second
	pollEvery      = time.Second // whoever waits looks this often, should a notification be lost
	retryAfter     = 200 * time.Millisecond
	freshFor       = time.Second // a connection unused for longer is tried before it is used
	tailRecords    = 4096        // that a start verifies
)

// Options tune a store. The zero value is right for production.
type Options struct {
	// Readers is the number of connections for reading; 0 means 4. Two more write
	// and listen.
	Readers int
	// MaxQueued bounds the appends that wait in this process, MaxQueuedBytes what
	// they hold; 0 means 4096 and 64 MiB. An eighth of both is kept free for
	// eventstore.Reserved.
	MaxQueued      int
	MaxQueuedBytes int
	// Gather is how long the sequencer waits for company before it commits fewer than
	// 48 appends; 0 means not at all.
	Gather time.Duration
	// LockTimeout bounds the wait for what another session holds: the lock of the
	// appends, a row, a table. 0 means 5 s. An append, or a page that is read, ends
	// at most 5 s later than that, with eventstore.ErrUnavailable or, where a commit
	// was under way, eventstore.ErrOutcomeUnknown.
	LockTimeout time.Duration
	// ServeDamaged opens a log whatever its tail holds, which the start does not read then.
	// Reads still end at a damaged record with *eventstore.Corrupt.
	ServeDamaged bool

	// For tests; 0 means LockTimeout and answerMargin, and pollEvery.
	answer, poll time.Duration
}

// Store is an eventstore.Store. Its methods may be called concurrently.
type Store struct {
	sequencer *sequencer
	listener  *listener
	readers   *sqlx.DB
	attempts  int           // at a page, because every pooled connection may have died
	answer    time.Duration // bound of one transaction or page

	head atomic.Int64 // the last position known to be committed
	room pgdb.Room    // on the server's disk

	mu     sync.Mutex
	grown  chan struct{} // closed and replaced when head grows
	closed chan struct{} // closed when Close begins

	closing  sync.Once
	closeErr error
}

var (
	_ eventstore.Together = (*Store)(nil)
	_ eventstore.Ahead    = (*Store)(nil)
)

// Short reports whether the server lacks room on its disk, by how appends ended lately.
func (s *Store) Short() bool { return s.room.Short() }

// Open connects to the log at dsn, postgres://user@host/database; a password that is
// not in it comes from PGPASSWORD or PGPASSFILE. A role that owns the database, or the
// log, prepares it first; for any other one it must be prepared: see [Prepare]. It
// refuses a server that does not keep what it acknowledged (fsync, full_page_writes,
// synchronous_commit), and, unless told otherwise, a log whose last records are
// damaged, with *eventstore.Corrupt.
//
// An address may name several servers, host1:5432,host2:5432: the one that is not a
// replica is used. Connections must not come from a pool that changes them between
// transactions.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	s, err := open(ctx, dsn, o)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, dsn string, o Options) (_ *Store, err error) {
	if o.Readers <= 0 {
		o.Readers = defaultReaders
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLock
	}
	read, err := config(dsn, "coffre events reader", o.LockTimeout)
	if err != nil {
		return nil, err
	}
	read.RuntimeParams["default_transaction_read_only"] = "on"
	write, err := config(dsn, "coffre events writer", o.LockTimeout)
	if err != nil {
		return nil, err
	}
	listen, err := config(dsn, "coffre events listener", o.LockTimeout)
	if err != nil {
		return nil, err
	}
	s := &Store{
		attempts: o.Readers + 1,
		answer:   cmp.Or(o.answer, o.LockTimeout+answerMargin),
		grown:    make(chan struct{}),
		closed:   make(chan struct{}),
		readers:  sqlx.NewDb(stdlib.OpenDB(*read), "pgx"),
	}
	s.readers.SetMaxOpenConns(o.Readers)
	s.readers.SetMaxIdleConns(o.Readers)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.readers.Close())
		}
	}()
	if err := s.begin(ctx, dsn, o); err != nil {
		return nil, err
	}
	s.sequencer = newSequencer(s, write, queue.Options{MaxCount: o.MaxQueued, MaxBytes: o.MaxQueuedBytes, Gather: o.Gather})
	if err := s.sequencer.connect(ctx); err != nil {
		return nil, err
	}
	if !o.ServeDamaged {
		if err := s.verifyTail(ctx); err != nil {
			return nil, errors.Join(err, s.sequencer.disconnect())
		}
	}
	s.listener = newListener(s, listen, cmp.Or(o.poll, pollEvery))
	go s.sequencer.run()
	go s.listener.run()
	return s, nil
}

// begin brings the tables to the form this program knows, if the role may.
func (s *Store) begin(ctx context.Context, dsn string, o Options) error {
	state, err := inspect(ctx, s.readers)
	if err != nil {
		return err
	}
	if state.behind() && state.MayPrepare {
		if err := migrate(ctx, dsn, o.LockTimeout); err != nil {
			return err
		}
		if state, err = inspect(ctx, s.readers); err != nil {
			return err
		}
	}
	return state.usable()
}

// config returns how one of the store's connections is made.
func config(dsn, name string, lock time.Duration) (*pgx.ConnConfig, error) {
	c, err := pgdb.Config(dsn, pgdb.Options{Schema: Schema, Name: name})
	if err != nil {
		return nil, err
	}
	c.ConnectTimeout = connectWithin
	if c.ValidateConnect == nil {
		// Of several hosts only the one that is written to has all that was acknowledged.
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	c.RuntimeParams["lock_timeout"] = fmt.Sprint(lock.Milliseconds())
	return c, nil
}

// Append implements eventstore.Store.
func (s *Store) Append(ctx context.Context, b eventstore.Batch) (eventstore.Appended, error) {
	return s.sequencer.queue.Append(ctx, b)
}

// AppendTogether implements eventstore.Together.
func (s *Store) AppendTogether(ctx context.Context, batches []eventstore.Batch) error {
	return s.sequencer.queue.AppendTogether(ctx, batches)
}

// Head implements eventstore.Store.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	var head int64
	err := s.read(ctx, func(ctx context.Context) error {
		return s.readers.GetContext(ctx, &head, `SELECT coalesce(max(position), 0) FROM events`)
	})
	if err != nil {
		return eventstore.Position{}, err
	}
	return dense.Position(head), nil
}

// Wait implements eventstore.Store. It waits on while the server is away.
func (s *Store) Wait(ctx context.Context, after eventstore.Position) error {
	for {
		s.mu.Lock()
		grown := s.grown
		s.mu.Unlock()
		if err := s.usable(ctx); err != nil {
			return err
		}
		if dense.Next(after) <= s.head.Load() {
			return nil
		}
		select {
		case <-grown:
		case <-s.closed:
		case <-ctx.Done():
		}
	}
}

// usable tells why nothing can be done now, if so.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return eventstore.ErrClosed
	default:
		return ctx.Err()
	}
}

// publish wakes who waits for a position up to head.
func (s *Store) publish(head int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if head <= s.head.Load() {
		return
	}
	s.head.Store(head)
	close(s.grown)
	s.grown = make(chan struct{})
}

// errLost: the database has fewer records than it had.
var errLost = errors.New("the database has lost records that it had acknowledged: it was restored, or a replica took over that had not received them")

// kept checks a head read anew against what was known before, and publishes it.
func (s *Store) kept(before, head int64) error {
	if head < before {
		return fmt.Errorf("%w: %w", eventstore.ErrFailed, errLost)
	}
	s.publish(head)
	return nil
}

// Close implements eventstore.Store. The transaction under way is finished and
// answered, everything queued behind it ends with ErrClosed.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.sequencer.stop()
		s.listener.stop()
		s.closeErr = s.readers.Close()
	})
	return s.closeErr
}
