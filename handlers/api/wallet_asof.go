package api

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/projections"
)

var errNotSettled = domain.NewError(domain.Stale, "asOfNotSettled", "what the vault will have known then is not settled yet")

// leafAt returns the last leaf that was recorded at a time or before it; -1 when there was
// none.
func (v *Vault) leafAt(ctx context.Context, t time.Time) (int64, error) {
	if t.After(v.Now()) {
		return 0, errNotSettled
	}
	return v.leafBy(ctx, t)
}

// leafBy returns the last leaf that was recorded at a time or before it; -1 when there was
// none. It searches by halves, in as many reads as the number of leaves has bits, so it takes
// the recorded times for ascending: where clocks differed or were set back, it returns one of
// the leaves behind which a later time follows.
func (v *Vault) leafBy(ctx context.Context, t time.Time) (int64, error) {
	head, err := v.Log.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("head of the log: %w", err)
	}
	last, err := v.Log.Leaves().Leaf(ctx, head)
	if err != nil {
		return 0, fmt.Errorf("head of the log: %w", err)
	}
	first := int64(-1)
	for first < last {
		middle := first + (last-first+1)/2
		at, err := v.recordedAt(ctx, middle)
		switch {
		case err != nil:
			return 0, err
		case at.After(t):
			last = middle - 1
		default:
			first = middle
		}
	}
	return first, nil
}

// recordedAt returns the time at which a leaf was recorded.
func (v *Vault) recordedAt(ctx context.Context, leaf int64) (time.Time, error) {
	before, err := v.Log.Leaves().Position(ctx, leaf-1)
	if err != nil {
		return time.Time{}, fmt.Errorf("position of a leaf: %w", err)
	}
	for {
		next := before
		for record, err := range v.Log.Store().ReadAll(ctx, before, 1) {
			if err != nil {
				return time.Time{}, fmt.Errorf("read the log: %w", err)
			}
			if projections.Ours(record.Stream.Category()) {
				return record.Time, nil
			}
			next = record.Position
		}
		if next == before {
			return time.Time{}, fmt.Errorf("leaf %d is not in the log", leaf)
		}
		before = next
	}
}
