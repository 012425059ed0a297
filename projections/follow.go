package projections

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// How often a process that does not run a projection asks how far it is: often while
// somebody waits for it; and how often it asks for the lease.
const (
	pollWaited = 15 * time.Millisecond
	pollIdle   = 500 * time.Millisecond
	reportTime = 5 * time.Second
)

// acquire waits for the lease. Meanwhile it follows the process that has it, so that
// this one's readers see what another one's runner does.
func (t *task) acquire(ctx context.Context) (*Lease, error) {
	var askAgain, observed time.Time
	running := false
	for {
		if err := t.withdrawDamaged(ctx); err != nil {
			return nil, err
		}
		if !time.Now().Before(askAgain) {
			lease, err := t.model.TryAcquire(ctx)
			if lease != nil || err != nil {
				return lease, err
			}
			askAgain = time.Now().Add(pollIdle/2 + rand.N(pollIdle))
		}
		if time.Since(observed) >= pollIdle {
			observed = time.Now()
			var err error
			if running, err = t.observe(ctx); err != nil && ctx.Err() == nil {
				t.tryFailed(fmt.Errorf("follow the read model: %w", err))
			}
		} else if running {
			if err := t.reloadCheckpoint(ctx); err != nil {
				observed = time.Time{}
			}
		}
		t.switchOver(ctx)
		t.mu.Lock()
		pause := min(pollIdle, max(time.Until(askAgain), 0))
		if t.waiting > 0 {
			pause = min(pause, pollWaited)
		}
		t.mu.Unlock()
		sleep(ctx, pause, t.awaited)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// observe follows another process's runner: to the generation in force, and as far as
// it has come or to where it stopped. It reports whether the tables may move on.
func (t *task) observe(ctx context.Context) (running bool, err error) {
	generation, stopped, err := t.model.InForce(ctx)
	if err != nil {
		return false, err
	}
	if errors.Is(stopped, ErrOvertaken) {
		if !t.hasFailed() {
			t.fail(stopped)
		}
		return false, nil
	}
	if err := t.openInForce(ctx, generation); err != nil {
		return false, err
	}
	if t.current == nil {
		return false, nil
	}
	if generation == 0 { // another process met damage
		t.current.damaged.Store(true)
		return false, nil
	}
	if err := t.reloadCheckpoint(ctx); err != nil {
		return true, err
	}
	t.update(func() {
		t.failed, t.state = nil, Live
		if stopped != nil {
			t.failed, t.state = stopped, stateOf(stopped)
		}
	})
	t.trySucceeded()
	return true, nil
}

func (t *task) hasFailed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed != nil
}

// reloadCheckpoint learns how far the tables in force have come.
func (t *task) reloadCheckpoint(ctx context.Context) error {
	if t.current == nil {
		return nil
	}
	at, err := ReadCheckpoint(ctx, t.current.Reader())
	if err != nil {
		return err
	}
	t.current.at = at
	if at != t.at {
		t.update(func() { t.at = at })
	}
	return nil
}

// replacedBy reports whether the generation, 0 for none, is another one than this
// process's readers are answered from.
func (t *task) replacedBy(generation int64) bool {
	return generation != 0 && (t.current == nil || t.current.Generation() != generation)
}

// openInForce answers this process's readers from the generation in force.
func (t *task) openInForce(ctx context.Context, generation int64) error {
	if !t.replacedBy(generation) {
		return nil
	}
	tables, err := t.model.Open(ctx)
	if err != nil || tables == nil {
		return err
	}
	next, err := openGeneration(ctx, tables)
	if err != nil {
		return err
	}
	if !t.replacedBy(next.Generation()) {
		return next.close()
	}
	t.replace(ctx, next)
	return nil
}

// takeOver gets ready to run, with the lease held: it learns how far the former holder
// has come. Tables that show more than the log holds are withdrawn: they are built anew.
func (t *task) takeOver(ctx context.Context) error {
	generation, _, err := t.model.InForce(ctx)
	if err != nil {
		return err
	}
	if err := t.openInForce(ctx, generation); err != nil {
		return err
	}
	t.update(func() { t.failed = nil })
	if t.current == nil {
		return nil
	}
	if err := t.reloadCheckpoint(ctx); err != nil {
		return err
	}
	ahead, err := t.aheadOfLog(ctx, t.current)
	if err != nil || !ahead {
		return err
	}
	return t.withdraw(ctx, t.current, ErrAhead)
}

// aheadOfLog reports whether tables show more than the log holds, which happens when an
// older log was put back.
func (t *task) aheadOfLog(ctx context.Context, g *generation) (bool, error) {
	head, err := t.r.o.Store.Head(ctx)
	if err != nil {
		return false, fmt.Errorf("head of the log: %w", err)
	}
	return g.at.Position.Compare(head) > 0, nil
}

// withdrawDamaged takes damaged tables in force out of it, whoever met the damage.
func (t *task) withdrawDamaged(ctx context.Context) error {
	if t.current == nil || !t.current.damaged.Load() {
		return nil
	}
	return t.withdraw(ctx, t.current, ErrDamaged)
}

// withdraw takes tables out of force, for a reason, and deletes them.
func (t *task) withdraw(ctx context.Context, g *generation, why error) error {
	t.log.Error("building anew", "err", why)
	if err := t.model.Withdraw(ctx, g.Generation()); err != nil {
		return err
	}
	if g == t.current {
		t.p.View().exchange(nil)
		t.update(func() { t.current, t.at, t.state = nil, Checkpoint{}, Starting })
	}
	return g.discard(ctx)
}

// checkInForce asks from time to time, with the lease held, whether another process has
// put a generation in force (ErrOvertaken), and drops what nobody uses any more.
func (t *task) checkInForce(ctx context.Context) error {
	if time.Since(t.checked) < watchdog/2 {
		return nil
	}
	generation, _, err := t.model.InForce(ctx)
	if err != nil {
		return err
	}
	if t.replacedBy(generation) {
		return ErrOvertaken
	}
	if t.current != nil && generation == 0 { // another process met damage
		t.current.damaged.Store(true)
	} else if t.current != nil {
		t.drop(ctx, t.current)
	}
	t.checked = time.Now()
	return nil
}
