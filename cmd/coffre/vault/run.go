package vault

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/handlers/contract"
	"coffre/handlers/work"
)

// part is something that goes on for as long as the instance.
type part struct {
	name string
	run  func(context.Context) error
}

// run runs the parts until ctx ends and all have stopped. A part that fails is told by
// Failed, and the others go on, so that requests under way can be answered.
func (v *Instance) run(ctx context.Context, parts []part) {
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				v.failed <- fmt.Errorf("%s: %w", p.name, err)
			}
		})
	}
	all.Wait()
}

// start starts the background work, which Close ends, and waits until the registry is
// served.
func (a *assembly) start(ctx context.Context) error {
	a.places.keys.Accompany(a.logEnd.keep)
	begun, ended := make(chan error, 1), make(chan struct{})
	parts := a.background(func(err error) { begun <- err })
	go func() {
		defer close(ended)
		a.run(a.life, parts)
	}()
	a.onClose(func() error { a.end(); <-ended; return nil })
	select {
	case err := <-begun:
		if err != nil {
			return err
		}
		return a.compareCheckpoint(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// background returns the parts of this vault. What only one of several processes may do
// waits for its turn.
func (a *assembly) background(begun func(error)) []part {
	work := work.RunOptions{Registry: a.o.Registry, Belgif: a.o.Belgif, Ready: begun}
	if a.places.shared() {
		work.RunExclusively = a.inTurn
	}
	parts := []part{
		{"read models", a.Runner.Run},
		{"core", func(ctx context.Context) error { return a.Core.Run(ctx, work) }},
	}
	if a.o.Duty.answers() {
		parts = append(parts, part{"reactors", a.react})
	}
	parts = append(parts, part{"traffic", a.traffic.Run})
	if a.provider != nil {
		parts = append(parts, part{"keys of the identity provider", a.provider.Run})
	}
	var mark func(eventstore.Position)
	if a.places.shared() {
		mark = a.dir.markEnd
	}
	if a.o.Duty.answers() {
		parts = append(parts, part{"checkpoints", func(ctx context.Context) error {
			return a.inTurn(ctx, "checkpoints", a.publishing)
		}})
	}
	if a.o.Duty.answers() {
		parts = append(parts, part{"figures", func(ctx context.Context) error {
			count := func(ctx context.Context, now time.Time, year int) (contract.Figures, error) {
				return a.Core.Figures(ctx, now, year, "")
			}
			return a.inTurn(ctx, "figures", func(ctx context.Context) error { return countFigures(ctx, count, a.o.Logger, &a.figures) })
		}})
	}
	parts = append(parts, part{"end of the log", func(ctx context.Context) error { return a.logEnd.follow(ctx, a.store, a.places.keys, mark) }})
	parts = append(parts, part{"room on the disk", func(ctx context.Context) error {
		watchRoom(ctx, a.shortOfRoom, a.places.room != nil, a.o.Logger)
		return nil
	}})
	parts = append(parts, part{"key rows", func(ctx context.Context) error { return walkKeys(ctx, a.keys, a.o.Logger) }})
	if a.places.leaves != nil {
		parts = append(parts, part{"leaves", a.places.leaves.Run})
	}
	if whole := scrubberOf(a.store, a.places.leaves); whole != nil {
		parts = append(parts, part{"scrubber", func(ctx context.Context) error {
			return a.inTurn(ctx, "scrubber", func(ctx context.Context) error { return scrub(ctx, whole, a.o.Logger, &a.damaged) })
		}})
	}
	return parts
}

// publishing publishes checkpoints and offers them to witnesses.
func (a *assembly) publishing(ctx context.Context) error {
	if len(a.cosigning.Ask) == 0 {
		return a.publisher.Run(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	asking.Go(func() { _ = a.cosigning.Run(ctx) }) // it ends with ctx only
	return a.publisher.Run(ctx)
}

// roomEvery is how often it is asked whether the disk has room.
const roomEvery = time.Second

// watchRoom tells the operator when the disk is full, and when it has room again. A disk of
// files has a reserve.
func watchRoom(ctx context.Context, short func() bool, reserve bool, logger *slog.Logger) {
	told, left := false, "nothing is recorded"
	if reserve {
		left = "only withdrawals, revocations and the like are recorded, from a reserve"
	}
	pause := time.NewTicker(roomEvery)
	defer pause.Stop()
	for {
		switch now := short(); {
		case now && !told:
			logger.ErrorContext(ctx, "the disk is full: "+left+"; make room, and everything goes on")
			told = true
		case !now && told:
			logger.InfoContext(ctx, "the disk has room again")
			told = false
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// inTurn runs something in this process's turn, under the lease of that name.
func (a *assembly) inTurn(ctx context.Context, name string, run func(context.Context) error) error {
	return inTurn(ctx, a.places.leases, name, run)
}

// askAgain is how long to wait for a lease after the database was away.
const askAgain = time.Second

// inTurn runs something that only one of the processes may do at a time, again each
// time this one holds the lease of that name, until ctx ends. Without leases no other
// process is there.
func inTurn(ctx context.Context, leases *pgdb.Session, name string, run func(context.Context) error) error {
	if leases == nil {
		return run(ctx)
	}
	for {
		held, release, err := leases.Acquire(ctx, name)
		if ctx.Err() != nil {
			if err == nil {
				release()
			}
			return nil
		}
		if err != nil {
			timer := time.NewTimer(askAgain)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			continue
		}
		err = run(held)
		lost := held.Err() != nil
		release()
		if ctx.Err() != nil || err != nil && !lost {
			return err
		}
		if !lost {
			return nil // it has ended by itself
		}
	}
}
