package projections

import (
	"context"
	"errors"
	"fmt"
)

// offer hands a finished generation to the task and returns once it is in force.
func (t *task) offer(ctx context.Context, g *generation) error {
	answer := make(chan error, 1)
	t.mu.Lock()
	ended, unclaimed := t.ended, t.next
	if !ended {
		t.next, t.switched = g, answer
		if t.wake != nil {
			t.wake()
		}
	}
	t.mu.Unlock()
	if ended {
		return errors.Join(ErrNotReady, g.close())
	}
	if unclaimed != nil { // from a caller who gave up
		if err := unclaimed.discard(ctx); err != nil {
			t.log.Warn("former read model", "err", err)
		}
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// switchOver switches to an offered generation, if there is one.
func (t *task) switchOver(ctx context.Context) {
	t.mu.Lock()
	next, answer := t.next, t.switched
	t.next, t.switched = nil, nil
	t.mu.Unlock()
	if next == nil {
		return
	}
	if err := t.promote(ctx, next); err != nil {
		t.update(func() { t.built = nil })
		if ctx.Err() != nil && !t.answers() { // the next start puts it in force, or goes on with it
			answer <- errors.Join(err, next.close())
			return
		}
		answer <- errors.Join(err, next.discard(ctx))
		return
	}
	t.replace(ctx, next)
	answer <- nil
}

// promote puts a generation in force once it shows no less than the former one did, to
// this process's readers and to others: who was told that an event is visible must
// find it.
func (t *task) promote(ctx context.Context, next *generation) error {
	for {
		err := ErrBehind
		if t.current == nil || next.at.Position.Compare(t.current.at.Position) >= 0 {
			err = t.model.Promote(ctx, next.Tables, next.at)
		}
		if !errors.Is(err, ErrBehind) {
			return err
		}
		items, to, err := t.r.feed.batch(ctx, next.at)
		switch {
		case err != nil:
		case to == next.at:
			err = fmt.Errorf("%w: it ends before what was shown already", ErrAhead)
		default:
			err = next.apply(ctx, 0, t.p, t.wanted, items, to)
		}
		if err != nil && (permanent(err) || next.Fault(err) == Damaged || ctx.Err() != nil) {
			return fmt.Errorf("catch up before the switch: %w", err)
		}
		if err != nil {
			t.tryFailed(fmt.Errorf("catch up before the switch: %w", err))
			sleep(ctx, jittered(retryMost), nil)
		}
	}
}

// replace answers readers from other tables, which are in force, and drops the former
// ones.
func (t *task) replace(ctx context.Context, next *generation) {
	former := t.serve(next)
	t.update(func() { t.failed, t.state, t.built = nil, CatchingUp, nil })
	t.trySucceeded() // the failures were the former tables'
	if former == nil {
		t.drop(ctx, next)
		return
	}
	t.r.closing.Go(func() { // once the readers that are still at it have finished
		if err := former.close(); err != nil {
			t.log.Warn("former read model", "err", err)
		}
		t.drop(ctx, next)
	})
}

// drop drops what kept has replaced and nobody uses any more.
func (t *task) drop(ctx context.Context, kept *generation) {
	if err := t.model.Drop(ctx, kept.Generation()); err != nil {
		t.log.Warn("former read model", "err", err)
	}
}
