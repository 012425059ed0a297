// Package sqlite keeps the event log in one SQLite file, for one process on one
// machine.
//
// One goroutine writes: appends queue, and the sequencer takes all that wait into
// one transaction, so that they share one sync of the disk. Readers have
// connections of their own and see only what was acknowledged.
//
// Invariant: positions are 1, 2, 3 … without gaps, and a record acknowledged once
// is on the medium, under its checksum, for good.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/sqlite/sqlitedb"
)

// Names of files in the directory of a log.
const (
	FileName    = "events.db"
	ReserveName = "events.reserve" // room for what must pass on a full disk
)

const (
	defaultReaders = 3
	readerCache    = 4 << 20
	writerCache    = 8 << 20     // an append touches the last pages of a few tables
	pollEvery      = time.Second // Wait looks by itself this often, should a wake-up be lost
	pageSize       = 32 << 10    // 21 rows of 1.5 KiB fill one to 98 %; of 16 KiB pages only to 94 %
	dirMode        = 0o700
	reserveBytes   = 4 << 20 // some 2,500 withdrawals, or the index of a write-ahead log of 16 GiB
)

// Options tune a store. The zero value is right for production.
type Options struct {
	// Readers is the number of connections for reading; 0 means 3.
	Readers int
	// MaxQueued bounds the appends that wait, MaxQueuedBytes what they hold; 0 means
	// 4096 and 64 MiB. An eighth of both is kept free for eventstore.Reserved.
	MaxQueued      int
	MaxQueuedBytes int
	// Gather is how long the sequencer waits for company before it commits fewer than
	// 48 appends; 0 means not at all. Some 700 µs help where callers arrive one by
	// one, as over HTTP.
	Gather time.Duration
	// ServeDamaged opens a log whatever its tail holds, which the start does not read then.
	// Reads still end at a damaged record with *eventstore.Corrupt.
	ServeDamaged bool
	// Reserve is room on the disk for what must pass, shared with other databases there;
	// the caller holds it once all of them are open. nil: the log has one of its own.
	Reserve *sqlitedb.Reserve
	// VFS names a registered file system of the driver; "" is the operating system's.
	VFS string

	// For tests; 0 means defaultCheckpoint, defaultSettle and defaultMove.
	checkpointPages int
	settleEvents    int64
	moveLeast       int
}

// Store is an eventstore.Store. Its methods may be called concurrently.
type Store struct {
	sequencer *sequencer
	readers   chan *reader
	poolSize  int

	head  atomic.Int64 // the last position acknowledged
	tail  tail
	words atomic.Pointer[words]
	ends  *ends
	// strays, of a log that is served whatever its tail holds, remembers what findStrays
	// answered first.
	strays func(*reader) (map[int64]bool, error)

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

// Open opens the log in dir, which it creates when absent. On a full disk it opens
// too, and reads; appends then end with eventstore.ErrDiskFull. It reads again and
// verifies what was appended last, and refuses a log whose tail is damaged with
// *eventstore.Corrupt, unless told to serve it.
//
// The caller sees to it that no other process has the directory open.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	own := o.Reserve == nil
	if own {
		o.Reserve = sqlitedb.NewReserve(filepath.Join(dir, ReserveName), reserveBytes)
	}
	s, err := open(ctx, dir, o)
	if sqlitedb.NoRoom(err) && o.Reserve.Release() {
		s, err = open(ctx, dir, o)
	}
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	if own {
		o.Reserve.Hold()
	}
	go s.sequencer.run()
	return s, nil
}

func open(ctx context.Context, dir string, o Options) (_ *Store, err error) {
	if o.Readers <= 0 {
		o.Readers = defaultReaders
	}
	path := filepath.Join(dir, FileName)
	s := &Store{
		ends:     newEnds(maxHeads),
		readers:  make(chan *reader, o.Readers),
		poolSize: o.Readers,
		grown:    make(chan struct{}),
		closed:   make(chan struct{}),
	}
	writer, err := sqlitedb.OpenConn(ctx, path, sqlitedb.Options{VFS: o.VFS, PageSize: pageSize, Cache: writerCache, Checksums: true}, sqlitedb.Write)
	if err != nil {
		return nil, err
	}
	if s.sequencer, err = newSequencer(s, writer, o); err != nil {
		return nil, errors.Join(err, closeConn(writer))
	}
	// From here on the files are there; their entries must survive a power cut before
	// anything is acknowledged.
	err = errors.Join(sqlitedb.SyncDir(dir, o.VFS), sqlitedb.SyncDir(filepath.Dir(dir), o.VFS))
	for range o.Readers {
		if err != nil {
			break
		}
		var r *reader
		if r, err = newReader(ctx, path, sqlitedb.Options{VFS: o.VFS, Cache: readerCache}, &s.tail, s.sequencer.form); err == nil {
			s.readers <- r
		}
	}
	if o.ServeDamaged {
		s.strays = rememberStrays(s.sequencer.settled, s.sequencer.last)
	} else if err == nil {
		err = s.verifyTail(ctx)
	}
	if err != nil {
		close(s.readers)
		for r := range s.readers {
			err = errors.Join(err, closeConn(r.conn))
		}
		return nil, errors.Join(err, closeConn(writer))
	}
	return s, nil
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
	if err := s.usable(ctx); err != nil {
		return eventstore.Position{}, err
	}
	return dense.Position(s.head.Load()), nil
}

// Wait implements eventstore.Store.
func (s *Store) Wait(ctx context.Context, after eventstore.Position) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
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
		case <-poll.C:
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

// publish makes everything up to head readable and wakes who waits for it.
func (s *Store) publish(head int64, w *words) {
	s.words.Store(w)
	s.head.Store(head)
	s.mu.Lock()
	close(s.grown)
	s.grown = make(chan struct{})
	s.mu.Unlock()
}

// Close implements eventstore.Store. The transaction under way is finished and
// answered, everything queued behind it ends with ErrClosed.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.sequencer.stop()
		var errs []error
		for range s.poolSize { // each comes back when its page is read
			errs = append(errs, closeConn((<-s.readers).conn))
		}
		s.closeErr = errors.Join(append(errs, closeConn(s.sequencer.conn))...)
	})
	return s.closeErr
}

// closeConn closes c after the statements prepared on it. What those answer is the
// error of their last use, which was dealt with then.
func closeConn(c *sqlite3.Conn) error {
	for _, s := range slices.Collect(c.Stmts()) {
		s.Close()
	}
	return c.Close()
}
