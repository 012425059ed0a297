package projections

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How often a process that does not run a projection looks how far it is: often
// while somebody waits for it.
const (
	lookWaited = 15 * time.Millisecond
	lookIdle   = 500 * time.Millisecond
	tellTime   = 5 * time.Second
)

// acquire waits for the lease. Where processes share the tables it follows them
// meanwhile, so that this one's readers see what another one's runner does.
func (t *task) acquire(ctx context.Context) (held context.Context, token int64, release func(), err error) {
	if t.shared == nil {
		return t.r.o.Lease.Acquire(ctx, t.lease)
	}
	acquired := make(chan struct{})
	go func() {
		defer close(acquired)
		held, token, release, err = t.r.o.Lease.Acquire(ctx, t.lease)
	}()
	var looked time.Time
	for {
		if time.Since(looked) >= lookIdle {
			looked = time.Now()
			if err := t.look(ctx); err != nil && ctx.Err() == nil {
				t.log.Warn("cannot follow the read model", "err", err)
			}
		} else if err := t.lookAgain(ctx); err != nil {
			looked = time.Time{}
		}
		select {
		case <-acquired:
			return held, token, release, err
		default:
		}
		t.exchange(ctx)
		t.mu.Lock()
		pause := lookIdle
		if t.waiting > 0 {
			pause = lookWaited
		}
		t.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-acquired:
		case <-timer.C:
		case <-t.hurry:
		}
		timer.Stop()
	}
}

// look follows another process's runner: to the generation in force, and as far as it
// has come or to where it stopped.
func (t *task) look(ctx context.Context) error {
	generation, stopped, err := t.shared.observe(ctx)
	if err != nil {
		return err
	}
	if generation != 0 && (t.db == nil || t.db.generation != generation) {
		if err := t.adopt(ctx); err != nil {
			return err
		}
	}
	if t.db == nil {
		return nil
	}
	if err := t.lookAgain(ctx); err != nil {
		return err
	}
	t.update(func() {
		t.failed, t.state = nil, Live
		if stopped != nil {
			t.failed, t.state = stopped, PoisonedAt
		}
	})
	return nil
}

// lookAgain learns how far the tables in force have come.
func (t *task) lookAgain(ctx context.Context) error {
	if t.db == nil {
		return nil
	}
	at, err := readCheckpoint(ctx, t.db.reader)
	if err != nil {
		return err
	}
	if at != t.at {
		t.db.at = at
		t.update(func() { t.at = at })
	}
	return nil
}

// adopt opens the generation in force for this process's readers.
func (t *task) adopt(ctx context.Context) error {
	next, err := t.models.openLatest(ctx)
	if err != nil || next == nil {
		return err
	}
	if t.db != nil && t.db.generation == next.generation {
		return next.close()
	}
	t.replace(ctx, next)
	return nil
}

// takeOver gets ready to run, with the lease held. Tables that show more than the
// log holds are withdrawn: they are built anew.
func (t *task) takeOver(ctx context.Context) error {
	generation, _, err := t.shared.observe(ctx)
	if err != nil {
		return err
	}
	if generation != 0 && (t.db == nil || t.db.generation != generation) {
		if err := t.adopt(ctx); err != nil {
			return err
		}
	}
	t.update(func() { t.failed = nil })
	if t.db == nil {
		return nil
	}
	if err := t.lookAgain(ctx); err != nil {
		return err
	}
	head, err := t.r.o.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	if t.db.at.Position.Compare(head) <= 0 {
		return nil
	}
	t.log.Warn("building anew", "err", ErrAhead)
	if err := t.shared.withdraw(ctx, t.db.generation); err != nil {
		return err
	}
	former := t.p.View().exchange(nil)
	t.update(func() { t.db, t.at, t.state = nil, Checkpoint{}, Starting })
	return former.discard(ctx)
}

// patrol looks from time to time, with the lease held, whether another process has
// put a generation in force (ErrOvertaken), and drops what nobody uses any more.
func (t *task) patrol(ctx context.Context) error {
	if t.shared == nil || time.Since(t.patrols) < watchdog/2 {
		return nil
	}
	generation, _, err := t.shared.observe(ctx)
	if err != nil {
		return err
	}
	if generation != 0 && (t.db == nil || t.db.generation != generation) {
		return ErrOvertaken
	}
	if t.db != nil {
		t.dropAllBut(ctx, t.db)
	}
	t.patrols = time.Now()
	return nil
}

// ours reports whether this process is to build tables that are missing: with the
// lease, and if nobody else did meanwhile. It waits a moment for the lease, so that
// models that are missing together are built together.
func (t *task) ours(ctx context.Context) bool {
	if t.shared == nil {
		return t.missing()
	}
	for patience := lookIdle; patience > 0 && ctx.Err() == nil; patience -= lookWaited {
		t.mu.Lock()
		leading, there := t.leading, t.db != nil || t.failed != nil
		t.mu.Unlock()
		if leading || there {
			return leading && !there
		}
		sleep(ctx, lookWaited, nil)
	}
	return false
}

// promote puts a generation that this process has built in force for all, once it
// shows no less than the former one did.
func (t *task) promote(ctx context.Context, next *database) error {
	for {
		err := t.shared.promote(ctx, next)
		if !errors.Is(err, errBehind) {
			return err
		}
		items, to, err := t.r.feed.batch(ctx, next.at)
		switch {
		case err != nil:
			return fmt.Errorf("catch up before the switch: %w", err)
		case to == next.at:
			return fmt.Errorf("%w: it ends before what was shown already", ErrAhead)
		}
		if err := next.apply(ctx, 0, t.p, t.wanted, items, to); err != nil {
			return fmt.Errorf("catch up before the switch: %w", err)
		}
	}
}

// tell says to the other processes that the projection stopped.
func (t *task) tell(at *Poisoned) {
	if t.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	if err := t.shared.stopped(ctx, t.token, at); err != nil {
		t.log.Warn("others do not hear of it", "err", err)
	}
}
