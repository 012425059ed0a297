package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
)

// generation is one generation of a read model at work: its tables, how far they have
// come, and what their readers share.
type generation struct {
	Tables
	at       Checkpoint
	building bool
	settled  bool // an interrupted build had run Schema.Settle

	// A build takes several pages in by one transaction.
	open      Transaction // nil when the last page was committed
	opened    time.Time
	committed Checkpoint // the last one; equals at unless open

	users sync.WaitGroup // readers between View.acquire and the end of their query
	mu    sync.RWMutex
	// statements are prepared on the reader pool, by text.
	statements map[string]*sqlx.Stmt
	unscrubbed bool // bytes of deleted rows are still there
	scrubAgain time.Time

	kept   any        // by the transaction that committed last in this process
	keptAt Checkpoint // to which it moved

	damaged atomic.Bool // nobody reads or writes here any more
	hurt    func()      // told when the generation in force is found damaged
}

// foundDamaged reports whether an error says that the tables are damaged, and has them
// replaced if so.
func (g *generation) foundDamaged(err error) bool {
	if err == nil || g.Fault(err) != Damaged {
		return false
	}
	if !g.damaged.Swap(true) && g.hurt != nil {
		g.hurt()
	}
	return true
}

// commitTime bounds the taking in of a page, whatever it waits for.
const commitTime = 5 * time.Minute

// Bounds of a transaction of a build. A page of the tables that many events change, as those
// of an index over random ids are, is written once for each transaction; and what was not
// committed is taken in again after a crash.
const (
	togetherEvents = 64 * pageEvents
	togetherTime   = 10 * time.Second
	togetherIdle   = time.Second // without a page
)

// errTogether: an event was at fault in a transaction that held more than its page, and all
// of it was rolled back.
var errTogether = errors.New("projections: the pages before were rolled back, too")

const checkpointTable = `CREATE TABLE checkpoint (
	name TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, fence BIGINT NOT NULL,
	commit_position BIGINT NOT NULL, prepare_position BIGINT NOT NULL, next_leaf BIGINT NOT NULL);`

// openGeneration wraps tables in force. A former process may have left bytes of rows
// that it deleted.
func openGeneration(ctx context.Context, tables Tables) (*generation, error) {
	g := &generation{Tables: tables, statements: map[string]*sqlx.Stmt{}, unscrubbed: true}
	var err error
	if g.at, err = ReadCheckpoint(ctx, tables.Reader()); err != nil {
		return nil, errors.Join(err, tables.Close())
	}
	return g, nil
}

// createGeneration makes empty tables for the projection. The name holds letters only.
func createGeneration(ctx context.Context, model Model, p Projection) (*generation, error) {
	tables, err := model.Create(ctx, checkpointTable+p.Schema().Tables+firstCheckpoint(p))
	if err != nil {
		return nil, err
	}
	return &generation{Tables: tables, building: true}, nil
}

// resumeGeneration opens what an interrupted build of the projection left, at the page after
// which it was interrupted; nil when there is nothing that can be gone on with. What is of no
// use, because it is damaged, another model's or further than the log, is removed.
func resumeGeneration(ctx context.Context, t *task) (*generation, error) {
	tables, settled, err := t.model.Resume(ctx)
	if err != nil || tables == nil {
		return nil, err
	}
	g := &generation{Tables: tables, building: !settled, settled: settled, unscrubbed: true}
	ours, err := g.readBuilt(ctx, t.p)
	if err != nil && (ctx.Err() != nil || tables.Fault(err) == Away || tables.Fault(err) == Passing) {
		return nil, errors.Join(err, g.close())
	}
	ahead := false
	if ours && err == nil {
		if ahead, err = t.aheadOfLog(ctx, g); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	if !ours || err != nil || ahead {
		return nil, g.discard(ctx)
	}
	return g, nil
}

// readBuilt learns how far tables that are being built have come, and reports whether they
// are the projection's.
func (g *generation) readBuilt(ctx context.Context, p Projection) (ours bool, err error) {
	tx, err := g.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	var name string
	var version int
	var commit, prepare int64
	found, err := tx.Get(ctx, `SELECT name, version, commit_position, prepare_position, next_leaf FROM checkpoint`, nil, &name, &version, &commit, &prepare, &g.at.Next)
	g.at.Position = eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
	g.committed = g.at
	return found && name == p.Name() && version == p.Version(), err
}

// firstCheckpoint is the statement for the checkpoint of empty tables.
func firstCheckpoint(p Projection) string {
	return fmt.Sprintf(`INSERT INTO checkpoint VALUES ('%s', %d, 0, 0, 0, 0);`, p.Name(), p.Version())
}

// finish makes a generation that was built ready for readers.
func (g *generation) finish(ctx context.Context, model Model, p Projection) (*generation, error) {
	schema := p.Schema()
	if g.settled {
		schema.Settle = ""
	}
	tables, err := model.Finish(ctx, g.Tables, schema)
	if err != nil {
		return nil, err
	}
	return &generation{Tables: tables, at: g.at, statements: map[string]*sqlx.Stmt{}, unscrubbed: g.unscrubbed}, nil
}

// commit moves the checkpoint and runs apply, in one transaction; on any error
// neither happens. The swap compares the whole checkpoint, so that of two runners
// one gets ErrOvertaken; and the token, so that it is the newer one that stays. It
// comes first: a loser must not take what the winner wrote for a poisonous event.
// Whether a commit happened whose connection broke, the next swap tells.
//
// A build leaves the transaction open for the next call while [generation.together] says
// so; an error takes back then what the calls since the last commit did, and at with it.
func (g *generation) commit(ctx context.Context, token int64, to Checkpoint, apply func(*Tx) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	transaction := g.open
	if transaction == nil {
		if transaction, err = g.Begin(ctx); err != nil {
			return err
		}
		g.opened, g.committed = time.Now(), g.at
	}
	g.open = nil
	done := false
	defer func() {
		if !done {
			if ctx.Err() != nil {
				err = ctx.Err() // the driver tells it in words of its own
			}
			err = errors.Join(err, transaction.Rollback())
		}
		if err != nil {
			g.at = g.committed
		}
	}()
	n, err := transaction.Exec(ctx, `UPDATE checkpoint SET fence = ?, commit_position = ?, prepare_position = ?, next_leaf = ?
		WHERE fence <= ? AND commit_position = ? AND prepare_position = ? AND next_leaf = ?`,
		token, int64(to.Position.Commit), int64(to.Position.Prepare), to.Next,
		token, int64(g.at.Position.Commit), int64(g.at.Position.Prepare), g.at.Next)
	if err != nil && g.Fault(err) == Dropped {
		return ErrOvertaken // the generation was replaced and dropped
	}
	if err != nil {
		return err
	}
	if n != 1 {
		return ErrOvertaken
	}
	tx := &Tx{transaction: transaction, building: g.building}
	if g.keptAt == g.at {
		tx.kept = g.kept
	}
	if err := apply(tx); err != nil {
		return err
	}
	done = true
	if g.together(to) {
		g.open = transaction
	} else if err := transaction.Commit(); err != nil {
		return err
	} else {
		g.committed = to
	}
	g.at = to
	g.kept, g.keptAt = tx.keep, to
	g.unscrubbed = g.unscrubbed || tx.scrub
	return nil
}

// together reports whether a build that has come to a checkpoint goes on in the same
// transaction. The first ones are short, so that a build which is often interrupted at its
// beginning gets ahead, too: none is longer than all before it.
func (g *generation) together(to Checkpoint) bool {
	return g.building && to.Next-g.committed.Next < min(togetherEvents, g.committed.Next) && time.Since(g.opened) < togetherTime
}

// commitOpen commits what a build has taken in.
func (g *generation) commitOpen() error {
	if g.open == nil {
		return nil
	}
	transaction := g.open
	g.open = nil
	if err := transaction.Commit(); err != nil {
		g.at = g.committed
		return err
	}
	g.committed = g.at
	return nil
}

// rollback gives up what a build has taken in since its last commit.
func (g *generation) rollback() error {
	if g.open == nil {
		return nil
	}
	transaction := g.open
	g.open, g.at = nil, g.committed
	return transaction.Rollback()
}

// apply takes one page's items in, in one transaction. When an event is at fault,
// what lies before it is taken in all the same, and *Poisoned is returned; errTogether where
// other pages were rolled back with this one.
func (g *generation) apply(ctx context.Context, token int64, p Projection, wanted map[string]bool, items []item, to Checkpoint) error {
	from := g.at
	if all, ok := p.(Gathering); ok {
		if err, done := g.applyAll(ctx, token, all, wanted, items, to); done {
			return err
		}
		if g.at != from {
			return errTogether
		}
	}
	bad := -1
	var cause error
	err := g.commit(ctx, token, to, func(tx *Tx) error {
		for i := range items {
			if !wanted[items[i].event.Stream.Category()] {
				continue
			}
			err := items[i].err
			if err == nil {
				err = applyRecovered(ctx, p, tx, &items[i])
			}
			if err != nil {
				if ctx.Err() == nil && !g.transient(err) {
					bad, cause = i, err
				}
				return err
			}
		}
		return nil
	})
	if bad < 0 || cause == nil {
		return err
	}
	if g.at != from {
		return errTogether
	}
	poisoned := &Poisoned{Name: p.Name(), Leaf: items[bad].leaf, Type: items[bad].event.Type, Err: cause}
	if bad > 0 {
		before := Checkpoint{items[bad-1].event.Position, items[bad-1].leaf + 1}
		if err := g.apply(ctx, token, p, wanted, items[:bad], before); err != nil {
			return err
		}
	}
	return poisoned
}

// applyAll is apply for a projection that takes events in together. done is false when an
// event is at fault: nothing was taken in then.
func (g *generation) applyAll(ctx context.Context, token int64, p Gathering, wanted map[string]bool, items []item, to Checkpoint) (err error, done bool) {
	events := make([]Taken, 0, len(items))
	for i := range items {
		if !wanted[items[i].event.Stream.Category()] {
			continue
		}
		if items[i].err != nil {
			return nil, false
		}
		events = append(events, Taken{&items[i].event, items[i].leaf})
	}
	atFault := false
	err = g.commit(ctx, token, to, func(tx *Tx) error {
		err := recovered(func() error { return p.ApplyAll(ctx, tx, events) })
		atFault = err != nil && ctx.Err() == nil && !g.transient(err)
		return err
	})
	return err, !atFault
}

// applyRecovered is Apply with [recovered].
func applyRecovered(ctx context.Context, p Projection, tx *Tx, it *item) error {
	return recovered(func() error { return p.Apply(ctx, tx, it.event, it.leaf) })
}

// recovered turns a projection's panic into an error: a mistake in a read model
// must not take the writing side down with it.
func recovered(apply func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic of type %T", r)
		}
	}()
	return apply()
}

// transient reports whether an error is about the medium or the caller's time, not
// about what was written: it may pass, and says nothing against the event.
func (g *generation) transient(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	fault := g.Fault(err)
	return fault == Passing || fault == Away || fault == Damaged
}

// scrub removes bytes of deleted rows when an erasure asked for it. While a reader
// still sees them it is put off to the next call.
func (g *generation) scrub(ctx context.Context) error {
	if !g.unscrubbed || g.building || time.Now().Before(g.scrubAgain) {
		return nil
	}
	done, err := g.Clean(ctx)
	if err != nil {
		return fmt.Errorf("scrub read model: %w", err)
	}
	if g.unscrubbed = !done; g.unscrubbed {
		g.scrubAgain = time.Now().Add(time.Second)
	}
	return nil
}

// ReadCheckpoint reads the checkpoint of a generation's tables, for this package and
// for adapters.
func ReadCheckpoint(ctx context.Context, q sqlx.QueryerContext) (Checkpoint, error) {
	var commit, prepare, next int64
	err := q.QueryRowxContext(ctx, `SELECT commit_position, prepare_position, next_leaf FROM checkpoint`).Scan(&commit, &prepare, &next)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read model: checkpoint: %w", err)
	}
	return Checkpoint{eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}, next}, nil
}

// statement returns a prepared statement for the reader pool.
func (g *generation) statement(ctx context.Context, query string) (*sqlx.Stmt, error) {
	g.mu.RLock()
	s := g.statements[query]
	g.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	s, err := g.Reader().PreparexContext(ctx, g.Reader().Rebind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if first := g.statements[query]; first != nil {
		return first, s.Close()
	}
	g.statements[query] = s
	return s, nil
}

// close waits for readers and closes everything.
func (g *generation) close() error {
	g.users.Wait()
	for _, s := range g.statements {
		_ = s.Close() // it ends with the pool in any case
	}
	return g.Close()
}

// discard closes and deletes tables that are not in force.
func (g *generation) discard(ctx context.Context) error {
	return errors.Join(g.close(), g.Remove(context.WithoutCancel(ctx)))
}
