package acting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// PositionToken returns the token of a position, which a caller sends back to see a write
// in the next answer. The zero position stands for the head of the log.
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
	return rec.Keys.PageTokens().Seal(positionUse, leaf), nil
}

// positionUse is what tokens of positions are sealed for.
const positionUse = "position"

// Cursor returns the cursor of a place, which is a leaf or several numbers, in the pages of an
// operation, which only that operation reads. It tells nothing of the place.
func (rec *Recorder) Cursor(operation string, place ...int64) contract.Cursor {
	return rec.Keys.PageTokens().Seal("cursor/"+operation, place...)
}

// PlaceFrom returns the numbers of a cursor that was made of so many in the pages of an
// operation. Any other cursor is contract.ErrUnknownPosition.
func (rec *Recorder) PlaceFrom(operation string, cursor contract.Cursor, count int) ([]int64, error) {
	place, ok := rec.Keys.PageTokens().OpenAll("cursor/"+operation, cursor, count)
	if !ok {
		return nil, edge.At(contract.IssueLocationQuery, "after", contract.ErrUnknownPosition)
	}
	return place, nil
}

// LeafFrom returns the leaf of a cursor in the pages of an operation; first for "", which
// asks for the first page. A cursor that the vault did not write for that operation is
// contract.ErrUnknownPosition.
func (rec *Recorder) LeafFrom(operation string, cursor contract.Cursor, first int64) (int64, error) {
	if cursor == "" {
		return first, nil
	}
	place, err := rec.PlaceFrom(operation, cursor, 1)
	if err != nil {
		return 0, err
	}
	return place[0], nil
}

// readModelTimeout bounds the wait for a position (docs/architecture.md §5).
const readModelTimeout = 2 * time.Second

var (
	// ErrModelsBehind answers when the read models that a decision needs have not come
	// to the head of the log in time.
	ErrModelsBehind = domain.NewError(domain.Unavailable, "projectionLagging", "the read models are behind the log; try again")
	// errLagging answers when the read models have not come to the caller's token in time.
	errLagging = domain.NewError(domain.Stale, "projectionLagging", "what you wrote is not visible yet; ask again")
)

// WaitForToken waits until the named read models have come to the position of a token,
// for two seconds at most. The empty token asks for nothing; a token that the vault did
// not write is contract.ErrUnknownPosition.
func (rec *Recorder) WaitForToken(ctx context.Context, token contract.CoffreMinPosition, names ...string) error {
	if token == "" {
		return nil
	}
	leaf, ok := rec.Keys.PageTokens().Open(positionUse, token)
	if !ok {
		return edge.At(contract.IssueLocationHeader, "Coffre-Min-Position", contract.ErrUnknownPosition)
	}
	return rec.WaitForLeaf(ctx, leaf, names...)
}

// WaitForLeaf waits until the named read models have come to a leaf, for two seconds at
// most.
func (rec *Recorder) WaitForLeaf(ctx context.Context, leaf int64, names ...string) error {
	p, err := rec.Log.Leaves().Position(ctx, leaf)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	return rec.waitForPosition(ctx, p, errLagging, names...)
}

// WaitForHead waits until the named read models have come to the head of the log, for two
// seconds at most, and then answers ErrModelsBehind. Decisions that must see every event
// call it.
func (rec *Recorder) WaitForHead(ctx context.Context, names ...string) error {
	head, err := rec.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	return rec.waitForPosition(ctx, head, ErrModelsBehind, names...)
}

// waitForPosition waits until the named read models have come to a position, and returns
// late when readModelTimeout ends first.
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
