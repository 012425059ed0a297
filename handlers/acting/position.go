package acting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/contract"
)

// PositionToken makes the token a caller may send back to see this write.
func (rec *Recorder) PositionToken(ctx context.Context, p eventstore.Position) (contract.PositionToken, error) {
	if p.IsZero() {
		var err error
		if p, err = rec.Log.Head(ctx); err != nil {
			return "", fmt.Errorf("position: %w", err)
		}
	}
	leaf, err := rec.Log.Leaves().Leaf(ctx, p)
	if err != nil {
		return "", fmt.Errorf("position: %w", err)
	}
	return contract.LeafToken(leaf), nil
}

// readModelTimeout is how long a read waits for the position it must see (docs/architecture.md §5).
const readModelTimeout = 2 * time.Second

// errLagging: a read model has not come as far as the caller wants to see.
var errLagging = domain.NewError(domain.Stale, "projectionLagging", "what you wrote is not visible yet; ask again")

// WaitForToken waits until the read models have the position the caller must see.
func (rec *Recorder) WaitForToken(ctx context.Context, token contract.CoffreMinPosition, names ...string) error {
	if token == "" {
		return nil
	}
	leaf, err := contract.ParseLeafToken(token)
	if err != nil {
		return err
	}
	p, err := rec.Log.Leaves().Position(ctx, leaf)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	return rec.waitForPosition(ctx, p, errLagging, names...)
}

// WaitForHead waits until the read models show what the log holds now, for decisions
// that must see all of it.
func (rec *Recorder) WaitForHead(ctx context.Context, names ...string) error {
	head, err := rec.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	return rec.waitForPosition(ctx, head, ErrModelsBehind, names...)
}

// ErrModelsBehind answers where not the caller but a decision needs to see all of the log.
var ErrModelsBehind = domain.NewError(domain.Unavailable, "projectionLagging", "the read models are behind the log; try again")

// waitForPosition waits until the read models show a position, at most for patience; then
// late is the answer.
func (rec *Recorder) waitForPosition(ctx context.Context, p eventstore.Position, late *domain.Error, names ...string) error {
	wait, cancel := context.WithTimeout(ctx, readModelTimeout)
	defer cancel()
	for _, name := range names {
		if err := rec.Runner.WaitFor(wait, name, p); err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return late
			}
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}
