package api

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/projections"
)

var errNotSettled = domain.NewError(domain.Stale, "asOfNotSettled", "what the vault will have known then is not settled yet")

// clocks are the two clocks of a question: what the vault knew, and the day on which it counts
// in law.
type clocks struct {
	leaf int64       // the last that counts: projections.Latest, or -1 before the first
	at   time.Time   // the moment of that knowledge
	day  domain.Date // in Belgium
	past bool        // one of them was set by the caller
}

// setClocks returns the clocks that a caller set; what they left out is now. It waits until the
// read model has come to the leaf; "" names none.
func (v *Vault) setClocks(ctx context.Context, now time.Time, asOf *time.Time, validAt domain.Date, model string) (clocks, error) {
	c := clocks{leaf: projections.Latest, at: now, day: domain.BelgianDate(now), past: asOf != nil || validAt != ""}
	if asOf != nil {
		leaf, err := v.leafAt(ctx, *asOf)
		if err != nil {
			return c, err
		}
		if leaf >= 0 && model != "" {
			if err := v.WaitForLeaf(ctx, leaf, model); err != nil {
				return c, err
			}
		}
		c.leaf, c.at, c.day = leaf, asOf.UTC(), domain.BelgianDate(*asOf)
	}
	if validAt != "" {
		c.day = validAt
	}
	return c, nil
}

// moment is when what ends at a moment has ended or not: the moment of the knowledge, and on
// another day the day's last one.
func (c clocks) moment() time.Time { return domain.MomentOn(c.at, c.day) }

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
