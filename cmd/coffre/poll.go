package main

import (
	"context"
	"errors"
	"fmt"
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

var errStopped = errors.New("the read model stopped; the server's log says at which event")

// followRebuild waits until a rebuilt read model is the live one.
func (p *program) followRebuild(ctx context.Context, c *client.Client, one contract.Projection, asJSON bool) error {
	bar := p.progress(100, "rebuild "+one.Name, false)
	defer bar.Done()
	shown := 0
	before := one.Version
	err := poll(ctx, func() (bool, time.Time, error) {
		all, err := client.Read[contract.Projections](c.ListProjections(ctx, contract.ListProjectionsParams{Name: one.Name}))
		if err != nil {
			return false, time.Time{}, err
		}
		if len(all.Body.Items) != 1 {
			return false, time.Time{}, fmt.Errorf("the vault no longer names the read model %s", one.Name)
		}
		now := all.Body.Items[0]
		bar.Add(int64(max(0, orZero(now.Rebuilding)-shown)))
		shown = max(shown, orZero(now.Rebuilding))
		one = now
		switch now.State {
		case contract.ProjectionStateStopped:
			return false, time.Time{}, errStopped
		case contract.ProjectionStateRebuilding:
			return false, time.Time{}, nil
		}
		return true, time.Time{}, nil
	})
	bar.Done()
	if err != nil {
		return err
	}
	return p.print(asJSON, one, "read model", one.Name, "state", string(one.State), "version", fmt.Sprintf("%d (was %d)", one.Version, before))
}
