package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"coffre/eventstore"
)

const (
	// watchdog bounds every wait for news: then the log is asked whether there was
	// some after all.
	watchdog = 10 * time.Second
	// linger is the least time between two batches while nobody waits for one, so that
	// under load a transaction takes in several events.
	linger = 16 * time.Millisecond
	// retry bounds the pause after trouble with the log or the medium.
	retryFirst, retryMost = 50 * time.Millisecond, 5 * time.Second
)

// Options of a Runner. Dir or Postgres, Store and Codec are required.
type Options struct {
	// Dir is where the read models' files are; it is made when it is missing. One
	// process at a time owns it.
	Dir string
	// Postgres, when it is set, is where the read models are instead, and the Lease. It
	// is closed after Run has returned.
	Postgres *Postgres
	Store    eventstore.Store
	Codec    eventstore.Codec
	// Leaves tells the number of the log's last leaf to Status; default DenseLeaves.
	Leaves eventstore.LeafIndex
	// Lease is asked before a projection runs; default Sole.
	Lease Lease
	// Logger hears of poison, stalls and trouble with the medium; default slog.Default.
	Logger *slog.Logger
}

// Runner keeps read models up with the log. Make it with [New], start it with
// [Runner.Run]. Its methods may be called concurrently.
type Runner struct {
	o     Options
	feed  *feed
	tasks []*task

	opened     chan struct{}  // closed when Run knows which tables there are
	rebuilding sync.Mutex     // one rebuild at a time
	closing    sync.WaitGroup // of former tables, by their readers
}

// State of a projection.
type State string

const (
	Starting   State = "starting"
	CatchingUp State = "catchingUp"
	Live       State = "live"
	Rebuilding State = "rebuilding" // the former tables, if any, still answer
	PoisonedAt State = "poisoned"
	Stopped    State = "stopped" // overtaken by another runner, or closed
)

// Status of one projection. It tells nothing of what events hold.
type Status struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	State   State  `json:"state"`
	// Leaf is the last one taken in, HeadLeaf the log's last; -1 before the first.
	Leaf     int64 `json:"leaf"`
	HeadLeaf int64 `json:"headLeaf"`
	Lag      int64 `json:"lag"` // leaves not taken in yet
	// RebuiltTo is the last leaf the tables being built have taken in; -1 when none are.
	RebuiltTo int64 `json:"rebuiltTo"`
	// PoisonedLeaf and PoisonedType tell where the projection stopped; -1 and "".
	PoisonedLeaf int64  `json:"poisonedLeaf"`
	PoisonedType string `json:"poisonedType,omitempty"`
	// Stalls counts how often the log had news that nobody announced.
	Stalls int `json:"stalls"`
}

// New returns a Runner for these projections, whose names differ.
func New(o Options, all ...Projection) (*Runner, error) {
	if o.Lease == nil {
		o.Lease = Sole{}
		if o.Postgres != nil {
			o.Lease = o.Postgres
		}
	}
	if o.Leaves == nil {
		o.Leaves = eventstore.DenseLeaves{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &Runner{o: o, feed: newFeed(o.Store, o.Codec, all), opened: make(chan struct{})}
	for _, p := range all {
		if err := check(p); err != nil {
			return nil, err
		}
		if r.task(p.Name()) != nil {
			return nil, fmt.Errorf("projections: two are named %s", p.Name())
		}
		r.tasks = append(r.tasks, newTask(r, p))
	}
	if o.Postgres != nil {
		return r, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("read models: %w", err)
	}
	return r, nil
}

// Run keeps all projections up until ctx ends, then closes their tables and
// returns nil. Models that are missing, damaged or of another version are built
// first, together, from one reading of the log. A projection that is poisoned or
// overtaken stops alone. Run is called once.
func (r *Runner) Run(ctx context.Context) error {
	defer r.close()
	var missing []*task
	for _, t := range r.tasks {
		if err := t.open(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("open %s: %w", t.name, err)
		}
		if t.db == nil {
			missing = append(missing, t)
		}
	}
	close(r.opened)
	var wg sync.WaitGroup
	for _, t := range r.tasks {
		wg.Go(func() { t.run(ctx) })
	}
	if len(missing) > 0 {
		wg.Go(func() { r.buildMissing(ctx, missing) })
	}
	wg.Wait()
	return nil
}

// buildMissing builds tables that are not there. Where processes share them it goes on
// until ctx ends, for they may be withdrawn, and who is to build them may die.
func (r *Runner) buildMissing(ctx context.Context, missing []*task) {
	for pause := retryFirst; ctx.Err() == nil; {
		ours := slices.DeleteFunc(slices.Clone(missing), func(t *task) bool { return !t.ours(ctx) })
		var err error
		if len(ours) > 0 {
			err = r.rebuild(ctx, ours)
		}
		if r.o.Postgres == nil {
			missing = slices.DeleteFunc(missing, func(t *task) bool { return !t.missing() })
		}
		switch {
		case len(missing) == 0:
			return
		case err != nil && ctx.Err() == nil:
			r.o.Logger.Error("read models could not be built; trying again", "err", err)
			sleep(ctx, pause, nil)
			pause = min(2*pause, retryMost)
		case r.o.Postgres != nil:
			pause = retryFirst
			sleep(ctx, lookIdle, nil)
		default:
			pause = retryFirst
			sleep(ctx, pause, nil)
		}
	}
}

func (r *Runner) close() {
	for _, t := range r.tasks {
		t.close()
	}
	r.closing.Wait()
}

func (r *Runner) task(name string) *task {
	for _, t := range r.tasks {
		if t.name == name {
			return t
		}
	}
	return nil
}

// WaitFor returns once the named projection shows what was recorded up to the
// position. It returns ctx's error, *Poisoned or ErrOvertaken when that will not
// be, ErrUnknown for another name.
func (r *Runner) WaitFor(ctx context.Context, name string, p eventstore.Position) error {
	t := r.task(name)
	if t == nil {
		return ErrUnknown
	}
	return t.waitFor(ctx, p)
}

// CatchUp waits until every projection shows what the log holds now.
func (r *Runner) CatchUp(ctx context.Context) error {
	head, err := r.o.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	for _, t := range r.tasks {
		if err := t.waitFor(ctx, head); err != nil {
			return err
		}
	}
	return nil
}

// Status tells how each projection is, in the order they were given to New.
func (r *Runner) Status(ctx context.Context) ([]Status, error) {
	head, err := r.o.Store.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("head of the log: %w", err)
	}
	leaf, err := r.o.Leaves.Leaf(ctx, head)
	if err != nil {
		return nil, fmt.Errorf("head of the log: %w", err)
	}
	all := make([]Status, len(r.tasks))
	for i, t := range r.tasks {
		all[i] = t.status(leaf)
	}
	return all, nil
}

// Starting names the projections that nobody is answered from yet: their tables are
// still to be opened. It asks nothing of the log.
func (r *Runner) Starting() (names []string) {
	for _, t := range r.tasks {
		if s := t.status(-1); s.State == Starting {
			names = append(names, s.Name)
		}
	}
	return names
}

// sleep waits for d, for ctx or for hurry.
func sleep(ctx context.Context, d time.Duration, hurry <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-hurry:
	}
}

// jittered spreads retries of several projections a little.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// apply takes one page's items in, in one transaction. When an event is at fault,
// what lies before it is taken in all the same, and *Poisoned is returned.
func (d *database) apply(ctx context.Context, token int64, p Projection, wanted map[string]bool, items []item, to Checkpoint) error {
	bad := -1
	var cause error
	err := d.commit(ctx, token, to, func(tx *Tx) error {
		for i := range items {
			if !wanted[items[i].event.Stream.Category()] {
				continue
			}
			err := items[i].err
			if err == nil {
				err = applied(ctx, p, tx, &items[i])
			}
			if err != nil {
				if ctx.Err() == nil && !transient(err) {
					bad, cause = i, err
				}
				return err
			}
		}
		return nil
	})
	if bad < 0 || cause == nil {
		return err
	}
	poisoned := &Poisoned{Name: p.Name(), Leaf: items[bad].leaf, Type: items[bad].event.Type, Err: cause}
	if bad > 0 {
		before := Checkpoint{items[bad-1].event.Position, items[bad-1].leaf + 1}
		if err := d.apply(ctx, token, p, wanted, items[:bad], before); err != nil {
			return err
		}
	}
	return poisoned
}

// applied turns a projection's panic into an error: a mistake in a read model must
// not take the writing side down with it.
func applied(ctx context.Context, p Projection, tx *Tx, it *item) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic of type %T", r)
		}
	}()
	return p.Apply(ctx, tx, it.event, it.leaf)
}

// hopeless reports whether a task must stop at this error.
func hopeless(err error) bool {
	var poisoned *Poisoned
	return errors.As(err, &poisoned) || errors.Is(err, ErrOvertaken) || errors.Is(err, ErrAhead)
}
