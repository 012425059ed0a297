package projections

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore"
)

// waitForPosition waits until the task shows what was recorded up to p, and has it
// hurry meanwhile.
func (t *task) waitForPosition(ctx context.Context, p eventstore.Position) error {
	t.mu.Lock()
	t.waiting++
	t.mu.Unlock()
	select {
	case t.awaited <- struct{}{}:
	default:
	}
	defer func() {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
	}()
	for {
		t.mu.Lock()
		at, failed, changed := t.at.Position, t.failed, t.changed
		damaged := t.current != nil && t.current.damaged.Load() // readers are answered from what replaces it
		t.mu.Unlock()
		switch {
		case at.Compare(p) >= 0 && !damaged:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", t.name, ctx.Err())
		}
	}
}

// mayBuild reports whether this process is to build tables that are missing: with the
// lease, and if nobody else did meanwhile. It waits a little for the lease, so that
// models that are missing together are built together.
func (t *task) mayBuild(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pollIdle)
	defer cancel()
	for {
		t.mu.Lock()
		leading, there, changed := t.leading, t.current != nil || t.failed != nil, t.changed
		t.mu.Unlock()
		if leading || there {
			return leading && !there
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// missing reports whether the task has no tables yet and is not known to be unable
// to build them.
func (t *task) missing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current == nil && t.failed == nil
}

// answers reports whether readers are answered from tables.
func (t *task) answers() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current != nil
}

// status as seen against the log's last leaf.
func (t *task) status(head int64) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{
		Name: t.name, Version: t.p.Version(), State: t.state, Leaf: t.at.Next - 1, HeadLeaf: head,
		RebuiltTo: -1, RebuiltFrom: -1, PoisonedLeaf: -1, FailingSince: t.failures.seen(), Stalls: t.stalls,
	}
	if !s.FailingSince.IsZero() && (s.State == Live || s.State == CatchingUp) {
		s.State = Failing
	}
	s.Lag = max(head-s.Leaf, 0)
	if s.State == CatchingUp && s.Lag == 0 {
		s.State = Live // it has yet to look once more, and there is nothing to find
	}
	var poisoned *Poisoned
	if errors.As(t.failed, &poisoned) {
		s.PoisonedLeaf, s.PoisonedType = poisoned.Leaf, poisoned.Type
	}
	if t.built != nil {
		s.State, s.RebuiltTo, s.RebuiltFrom, s.RebuildingSince = Rebuilding, t.built.next-1, t.built.from-1, t.built.since
	}
	return s
}
