package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
)

// models are the generations of one projection, wherever they lie.
type models interface {
	// openLatest opens the generation in force; nil when there is none that is sound.
	openLatest(ctx context.Context) (*database, error)
	// create begins a new generation beside it.
	create(ctx context.Context, schema Schema) (*database, error)
	// finish gives a built generation its indexes and makes it whole.
	finish(ctx context.Context, d *database, schema Schema) (*database, error)
	// drop removes generations that kept replaces and nobody uses any more; at the
	// start of a process that is alone also those that were never finished.
	drop(ctx context.Context, kept *database, starting bool) error
}

// medium is what one generation lies in.
type medium interface {
	// writer returns the one connection that writes.
	writer(ctx context.Context) (*sqlx.Conn, error)
	// each is View.Each.
	each(ctx context.Context, query string, args []any, row func(Row) error) error
	// clean removes what was deleted; done is false while a reader still looks at it.
	clean(ctx context.Context, conn *sqlx.Conn) (done bool, err error)
	// close is called when nobody reads or writes any more, remove after it.
	close() error
	remove(ctx context.Context) error
}

// database is one generation of one read model: its medium, the connection that
// writes it, and what its readers share.
type database struct {
	medium
	reader     *sqlx.DB
	generation int64
	building   bool
	asText     bool // statements run within the transaction, see Tx
	tx         *Tx  // over the pinned writing connection; nil while there is none
	at         Checkpoint

	users sync.WaitGroup // readers between acquire and Close
	mu    sync.RWMutex
	// statements are prepared on the reader pool, by text.
	statements map[string]*sqlx.Stmt
	unscrubbed bool // deleted bytes are still there
	scrubAgain time.Time
}

// commitTime bounds a transaction of thousands of events, whatever it waits for.
const commitTime = 5 * time.Minute

const checkpointTable = `CREATE TABLE checkpoint (
	name TEXT NOT NULL, version BIGINT NOT NULL, fence BIGINT NOT NULL,
	commit_position BIGINT NOT NULL, prepare_position BIGINT NOT NULL, next_leaf BIGINT NOT NULL);`

// pin takes the writing connection for good.
func (d *database) pin(ctx context.Context) error {
	if d.tx != nil {
		return nil
	}
	conn, err := d.writer(ctx)
	if err != nil {
		return fmt.Errorf("open read model: %w", err)
	}
	d.tx = &Tx{conn: conn, prepared: map[string]*sqlx.Stmt{}, building: d.building}
	return nil
}

// unpin gives a writing connection up that broke; the next pin takes another.
func (d *database) unpin() {
	if d.tx == nil {
		return
	}
	// Whatever they say: the connection is gone.
	for _, s := range d.tx.prepared {
		_ = s.Close()
	}
	_ = d.tx.conn.Close()
	d.tx = nil
}

// commit moves the checkpoint and runs apply, in one transaction; on any error
// neither happens. The swap compares the whole checkpoint, so that of two runners
// one gets ErrOvertaken; and the token, so that it is the newer one that stays. It
// comes first: a loser must not take what the winner wrote for a poisonous event.
func (d *database) commit(ctx context.Context, token int64, to Checkpoint, apply func(*Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	if err := d.pin(ctx); err != nil {
		return err
	}
	// A transaction that ended by itself with ctx would leave the statements after it
	// to commit one by one.
	tx, err := d.tx.conn.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return d.torn(err)
	}
	if d.asText {
		d.tx.within = tx
		defer func() {
			if d.tx != nil {
				d.tx.within = nil
			}
		}()
	}
	done := false
	defer func() {
		if !done {
			d.tx.scrub = false
			if ctx.Err() != nil {
				err = ctx.Err() // the driver tells it in words of its own
			}
			err = d.torn(errors.Join(err, ignoreDone(tx.Rollback())))
		}
	}()
	n, err := d.tx.Exec(ctx, `UPDATE checkpoint SET fence = ?, commit_position = ?, prepare_position = ?, next_leaf = ?
		WHERE fence <= ? AND commit_position = ? AND prepare_position = ? AND next_leaf = ?`,
		token, int64(to.Position.Commit), int64(to.Position.Prepare), to.Next,
		token, int64(d.at.Position.Commit), int64(d.at.Position.Prepare), d.at.Next)
	if pgdb.Missing(err) {
		return ErrOvertaken // the generation was replaced and dropped
	}
	if err != nil {
		return err
	}
	if n != 1 {
		return ErrOvertaken
	}
	if err := apply(d.tx); err != nil {
		return err
	}
	done = true
	if err := tx.Commit(); err != nil {
		return d.torn(err)
	}
	d.at = to
	d.unscrubbed = d.unscrubbed || d.tx.scrub
	d.tx.scrub = false
	return nil
}

// torn gives the writing connection up if err is about it. Whether a commit that
// met it happened, the next swap tells.
func (d *database) torn(err error) error {
	if pgdb.Away(err) {
		d.unpin()
	}
	return err
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// scrub removes what was deleted when an erasure asked for it. While a reader still
// looks at an older state it is put off to the next call.
func (d *database) scrub(ctx context.Context) error {
	if !d.unscrubbed || d.building || d.tx == nil || time.Now().Before(d.scrubAgain) {
		return nil
	}
	done, err := d.clean(ctx, d.tx.conn)
	if err != nil {
		return fmt.Errorf("scrub read model: %w", err)
	}
	if d.unscrubbed = !done; d.unscrubbed {
		d.scrubAgain = time.Now().Add(time.Second)
	}
	return nil
}

func readCheckpoint(ctx context.Context, q sqlx.QueryerContext) (Checkpoint, error) {
	var commit, prepare, next int64
	err := q.QueryRowxContext(ctx, `SELECT commit_position, prepare_position, next_leaf FROM checkpoint`).Scan(&commit, &prepare, &next)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read model: checkpoint: %w", err)
	}
	return Checkpoint{eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}, next}, nil
}

// close waits for readers and closes everything.
func (d *database) close() error {
	d.users.Wait()
	var all error
	for _, s := range d.statements {
		all = errors.Join(all, s.Close())
	}
	if d.tx != nil {
		for _, s := range d.tx.prepared {
			all = errors.Join(all, s.Close())
		}
		all = errors.Join(all, d.tx.conn.Close())
	}
	if pgdb.Away(all) || d.tx == nil {
		all = nil // a connection that broke has closed them
	}
	return errors.Join(all, d.medium.close())
}

func (d *database) discard(ctx context.Context) error {
	return errors.Join(d.close(), d.remove(context.WithoutCancel(ctx)))
}

// transient reports whether an error is about the medium or the moment, not about
// what was written: it may pass, and says nothing against the event.
func transient(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if pgdb.Away(err) || pgdb.Full(err) {
		return true
	}
	for _, code := range []sqlite3.ErrorCode{
		sqlite3.BUSY, sqlite3.LOCKED, sqlite3.NOMEM, sqlite3.INTERRUPT, sqlite3.IOERR,
		sqlite3.FULL, sqlite3.CANTOPEN, sqlite3.PROTOCOL, sqlite3.READONLY, sqlite3.PERM,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
