package main

import (
	"context"
	"time"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// Times between two looks at something that takes a while.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = 2 * time.Second
)

// poll looks again and again, less and less often, until look says done.
func poll(ctx context.Context, look func() (done bool, again time.Time, err error)) error {
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		done, again, err := look()
		if done || err != nil {
			return err
		}
		pause := wait
		if until := time.Until(again); until > 0 {
			pause = min(until, lastLook)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// followRebuild waits until a rebuild is over, and says how it ended.
func (p *program) followRebuild(ctx context.Context, c *client.Client, one contract.Rebuild, asJSON bool) error {
	bar := p.progress(100, "rebuild "+one.Projection, false)
	defer bar.Done()
	shown := 0
	err := poll(ctx, func() (bool, time.Time, error) {
		now, err := client.Read[contract.Rebuild](c.GetRebuild(ctx, one.RebuildID))
		if err != nil {
			return false, time.Time{}, err
		}
		one = now.Body
		switch one.State {
		case contract.RebuildStateDone:
			return true, time.Time{}, nil
		case contract.RebuildStateFailed:
			return false, time.Time{}, &client.Refusal{Problem: one.Problem}
		}
		all, err := client.Read[contract.Projections](c.ListProjections(ctx, contract.ListProjectionsParams{Name: one.Projection}))
		if err == nil && len(all.Body.Items) == 1 { // another process may be at it
			per := orZero(all.Body.Items[0].Rebuilding)
			bar.Add(int64(max(0, per-shown)))
			shown = max(shown, per)
		}
		return false, time.Time{}, err
	})
	bar.Done()
	if err != nil {
		return err
	}
	return p.print(asJSON, one, "rebuild", one.RebuildID.String(), "read model", one.Projection, "state", string(one.State),
		"began", day(one.BegunAt), "ended", day(one.EndedAt))
}
