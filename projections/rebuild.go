package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
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
		b, err := t.begin(ctx)
		if err != nil {
			errs[i] = fmt.Errorf("rebuild %s: %w", t.name, err)
			continue
		}
		builds = append(builds, b)
		wg.Go(func() {
			err := b.run(ctx)
			for range b.pages { // whoever fails lets the others go on
			}
			t.update(func() { t.built = nil })
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

// broadcast reads and decodes the log once, from where the build that has come least far
// goes on, up to where the log ends now, for all builds.
func (r *Runner) broadcast(ctx context.Context, builds []*build) error {
	if len(builds) == 0 {
		return nil
	}
	head, err := r.o.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	at := builds[0].from
	for _, b := range builds {
		if b.from.Position.Compare(at.Position) < 0 {
			at = b.from
		}
	}
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
	t       *task
	g       *generation
	from    Checkpoint // where it began, or goes on
	awaited bool       // no tables were in force when it began
	pages   chan *page
}

// begin opens the tables to build: new ones, or, where none are in force, those that an
// interrupted build left.
func (t *task) begin(ctx context.Context) (b *build, err error) {
	b = &build{t: t, awaited: t.missing(), pages: make(chan *page, pagesAhead)}
	if b.awaited {
		if b.g, err = resumeGeneration(ctx, t); err != nil {
			return nil, fmt.Errorf("go on with an interrupted build: %w", err)
		}
	}
	if b.g == nil {
		if b.g, err = createGeneration(ctx, t.model, t.p); err != nil {
			return nil, err
		}
	}
	b.from = b.g.at
	if b.from.Next > 0 {
		t.log.Info("going on with an interrupted build", "leaf", b.from.Next-1)
	} else {
		t.log.Info("building from the first event")
	}
	t.update(func() { t.built = &progress{from: b.from.Next, next: b.from.Next, since: time.Now()} })
	return b, nil
}

// run writes the pages into the tables, finishes them and has them put in force.
func (b *build) run(ctx context.Context) error {
	t := b.t
	for {
		p, err := b.page()
		if err != nil {
			return b.end(ctx, err)
		}
		if p == nil {
			break
		}
		if p.after.Position.Compare(b.g.at.Position) <= 0 || b.g.settled {
			continue // taken in before an interruption; what follows a settled build is caught up with at the switch
		}
		err = b.g.apply(ctx, 0, t.p, t.wanted, p.behind(b.g.at), p.after)
		if errors.Is(err, errTogether) {
			err = b.retake(ctx, p.after)
		}
		if err != nil {
			return b.end(ctx, err)
		}
		b.progressed()
	}
	if err := b.commit(); err != nil {
		return b.end(ctx, err)
	}
	if ctx.Err() != nil {
		return b.end(ctx, ctx.Err())
	}
	ready, err := b.g.finish(ctx, t.model, t.p)
	if err != nil && ctx.Err() != nil && !b.goesOn() {
		err = errors.Join(err, b.g.Remove(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return err
	}
	return t.offer(ctx, ready)
}

// page returns the next page, nil after the last one. While the reading takes long, what was
// taken in is committed: a database may end a session that sits on a transaction.
func (b *build) page() (*page, error) {
	if b.g.open != nil {
		select {
		case p := <-b.pages:
			return p, nil
		case <-time.After(togetherIdle):
			if err := b.commit(); err != nil {
				return nil, err
			}
		}
	}
	return <-b.pages, nil
}

// commit commits what was taken in.
func (b *build) commit() error {
	err := b.g.commitOpen()
	b.progressed()
	return err
}

// progressed tells others how far the build has come: what a crash does not take back.
func (b *build) progressed() {
	if next := b.g.committed.Next; next > 0 {
		b.t.update(func() { b.t.built.next = next })
	}
}

// retake takes the log in again from the last commit, a page to a transaction, until it meets
// the event at fault.
func (b *build) retake(ctx context.Context, to Checkpoint) error {
	for b.g.at.Position.Compare(to.Position) < 0 {
		p, err := b.t.r.feed.read(ctx, b.g.at)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if err := b.g.apply(ctx, 0, b.t.p, b.t.wanted, p.items, p.after); err != nil {
			return err
		}
		if err := b.g.commitOpen(); err != nil {
			return err
		}
	}
	return nil
}

// goesOn reports whether readers wait for these tables, so that the next build goes on with
// what there is of them.
func (b *build) goesOn() bool { return b.awaited && !b.t.answers() }

// end ends a build that failed. Where readers wait for its tables, and the process ends or the
// medium is away, they stay for whoever goes on with them. On a full disk they go: others need
// the room.
func (b *build) end(ctx context.Context, err error) error {
	err = errors.Join(err, b.g.rollback())
	if b.goesOn() && (ctx.Err() != nil || b.g.Fault(err) == Away) {
		return errors.Join(err, b.g.close())
	}
	return errors.Join(err, b.g.discard(ctx))
}

// behind returns the items that a checkpoint within the page, or before it, has not passed.
func (p *page) behind(at Checkpoint) []item {
	i, _ := slices.BinarySearchFunc(p.items, at.Next, func(it item, next int64) int { return cmp.Compare(it.leaf, next) })
	return p.items[i:]
}

// progress is how far a build has come.
type progress struct {
	from, next int64 // the leaf with which it began in this process, and the one it takes in next
	since      time.Time
}
