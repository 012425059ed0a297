package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// pagesAhead is how many pages the reader of a rebuild may be before the slowest writer.
const pagesAhead = 2

// Rebuild builds the named projections, or all when none is named, anew from the
// log beside those in force, switches their readers over and drops the former
// tables. It returns when all have switched; the errors of those that could not are
// joined, and their former tables stay in force. Run must be running.
func (r *Runner) Rebuild(ctx context.Context, names ...string) error {
	tasks := r.tasks
	if len(names) > 0 {
		tasks = nil
		for _, name := range names {
			t := r.task(name)
			if t == nil {
				return fmt.Errorf("%s: %w", name, ErrUnknown)
			}
			tasks = append(tasks, t)
		}
	}
	return r.rebuild(ctx, tasks)
}

func (r *Runner) rebuild(ctx context.Context, tasks []*task) error {
	select {
	case <-r.started: // before, the start would take a new build for an interrupted one
	case <-ctx.Done():
		return ctx.Err()
	}
	r.rebuilding.Lock()
	defer r.rebuilding.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	builds := make([]*build, 0, len(tasks))
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		b := &build{t: t, pages: make(chan *page, pagesAhead)}
		builds = append(builds, b)
		wg.Go(func() {
			err := b.run(ctx)
			for range b.pages { // whoever fails lets the others go on
			}
			t.update(func() { t.built = -1 })
			var poisoned *Poisoned
			if errors.As(err, &poisoned) && t.missing() {
				t.fail(poisoned)
			}
			if err != nil {
				errs[i] = fmt.Errorf("rebuild %s: %w", t.name, err)
			}
		})
	}
	err := r.broadcast(ctx, builds)
	if err != nil {
		cancel() // nobody may take a part of the log for the whole
	}
	for _, b := range builds {
		close(b.pages)
	}
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// broadcast reads and decodes the log once, up to where it ends now, for all builds.
func (r *Runner) broadcast(ctx context.Context, builds []*build) error {
	head, err := r.o.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	var at Checkpoint
	for at.Position.Compare(head) < 0 {
		p, err := r.feed.read(ctx, at)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if p.after == at {
			return nil
		}
		at = p.after
		for _, b := range builds {
			select {
			case b.pages <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// build is one generation being built.
type build struct {
	t     *task
	pages chan *page
}

// run writes the pages into new tables, finishes them and has them put in force.
func (b *build) run(ctx context.Context) error {
	t := b.t
	g, err := createGeneration(ctx, t.model, t.p)
	if err != nil {
		return err
	}
	t.update(func() { t.built = 0 })
	for p := range b.pages {
		if err := g.apply(ctx, 0, t.p, t.wanted, p.items, p.after); err != nil {
			return errors.Join(err, g.discard(ctx))
		}
		t.update(func() { t.built = p.after.Next })
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), g.discard(ctx))
	}
	ready, err := g.finish(ctx, t.model, t.p)
	if err != nil {
		return err
	}
	return t.offer(ctx, ready)
}
