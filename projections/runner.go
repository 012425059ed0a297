package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	linger = 50 * time.Millisecond
	// retry bounds the pause after trouble with the log or the medium.
	retryFirst, retryMost = 50 * time.Millisecond, 5 * time.Second
)

// Options are the parts of a Runner. Medium, Store and Codec are required.
type Options struct {
	// Medium is where the read models are. If it is closed, then after Run has returned.
	Medium Medium
	Store  eventstore.Store
	Codec  eventstore.Codec
	// Leaves tells the number of the log's last leaf to Status; default DenseLeaves.
	Leaves eventstore.LeafIndex
	// Logger hears of poison, stalls and trouble with the medium; default slog.Default.
	Logger *slog.Logger
}

// Runner keeps read models up with the log. Make it with [New], start it with
// [Runner.Run]. Its methods may be called concurrently.
type Runner struct {
	o     Options
	feed  *feed
	tasks []*task

	started    chan struct{}  // closed when every model has started
	rebuilding sync.Mutex     // one rebuild at a time
	closing    sync.WaitGroup // of former tables, by their readers
}

// State is what a projection is doing.
type State string

const (
	Starting   State = "starting"
	CatchingUp State = "catchingUp"
	Live       State = "live"
	Rebuilding State = "rebuilding" // the former tables, if any, still answer
	PoisonedAt State = "poisoned"
	Stopped    State = "stopped" // overtaken by another runner, or closed
	Failing    State = "failing" // its tables answer, and its latest tries to go on all failed
)

// Status is how one projection is. It holds nothing of what events hold.
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
	// RebuiltFrom is the last leaf that they had taken in when this process began, or went on
	// with an interrupted build, at RebuildingSince; -1 for the log's beginning. RebuildingSince
	// is zero while no tables are being built.
	RebuiltFrom     int64     `json:"rebuiltFrom"`
	RebuildingSince time.Time `json:"rebuildingSince,omitzero"`
	// PoisonedLeaf and PoisonedType tell where the projection stopped; -1 and "".
	PoisonedLeaf int64  `json:"poisonedLeaf"`
	PoisonedType string `json:"poisonedType,omitempty"`
	// FailingSince is when the first of several tries in a row failed, whatever the state;
	// zero while they do not. The projection goes on trying.
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Stalls counts how often the log had news that nobody announced.
	Stalls int `json:"stalls"`
}

// Running reports whether the projection follows the log, or is on its way to: nothing
// stopped it, and its latest tries did not all fail.
func (s Status) Running() bool {
	return s.State != PoisonedAt && s.State != Stopped && s.PoisonedLeaf < 0 && s.FailingSince.IsZero()
}

// New returns a Runner for these projections, whose names differ.
func New(o Options, all ...Projection) (*Runner, error) {
	if o.Leaves == nil {
		o.Leaves = eventstore.DenseLeaves{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &Runner{o: o, feed: newFeed(o.Store, o.Codec, all), started: make(chan struct{})}
	for _, p := range all {
		if err := check(p); err != nil {
			return nil, err
		}
		if r.task(p.Name()) != nil {
			return nil, fmt.Errorf("projections: two are named %s", p.Name())
		}
		r.tasks = append(r.tasks, newTask(r, p))
	}
	return r, nil
}

// Run keeps all projections up until ctx ends, then closes their tables and
// returns nil. Models that are missing, damaged or of another version are built
// first, together, from one reading of the log. A projection that is poisoned or
// overtaken stops alone. Run is called once.
func (r *Runner) Run(ctx context.Context) error {
	defer r.close()
	for _, t := range r.tasks {
		if err := t.start(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("open %s: %w", t.name, err)
		}
	}
	close(r.started)
	var wg sync.WaitGroup
	for _, t := range r.tasks {
		wg.Go(func() { t.run(ctx) })
	}
	wg.Go(func() { r.buildMissing(ctx) })
	wg.Wait()
	return nil
}

// buildMissing builds the tables of tasks that have none, each while this process holds
// its lease. It goes on until ctx ends, for tables may be withdrawn, and the process
// that is to build them may die.
func (r *Runner) buildMissing(ctx context.Context) {
	for pause := retryFirst; ctx.Err() == nil; {
		ours := slices.DeleteFunc(slices.Clone(r.tasks), func(t *task) bool { return !t.mayBuild(ctx) })
		var err error
		if len(ours) > 0 {
			err = r.rebuild(ctx, ours)
		}
		if err != nil && ctx.Err() == nil {
			for _, t := range ours {
				if t.missing() {
					t.tryFailed(fmt.Errorf("build read models: %w", err))
				}
			}
			sleep(ctx, pause, nil)
			pause = min(2*pause, retryMost)
			continue
		}
		pause = retryFirst
		sleep(ctx, pollIdle, nil)
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
	return t.waitForPosition(ctx, p)
}

// CatchUp waits until every projection shows what the log holds now.
func (r *Runner) CatchUp(ctx context.Context) error {
	head, err := r.o.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("head of the log: %w", err)
	}
	for _, t := range r.tasks {
		if err := t.waitForPosition(ctx, head); err != nil {
			return err
		}
	}
	return nil
}

// Status returns the status of each projection, in the order they were given to New.
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

// Starting names the projections that answer nobody yet: their tables are still to be
// opened. It asks nothing of the log.
func (r *Runner) Starting() (names []string) {
	for _, t := range r.tasks {
		if s := t.status(-1); s.State == Starting {
			names = append(names, s.Name)
		}
	}
	return names
}

// Missing names the projections that answer nobody yet and are on their way to: their tables
// are still to be opened or built, and no try to do so failed again and again. It asks nothing
// of the log.
func (r *Runner) Missing() (names []string) {
	for _, t := range r.tasks {
		if t.missing() && t.status(-1).FailingSince.IsZero() {
			names = append(names, t.name)
		}
	}
	return names
}

// sleep waits for d, for ctx or for wake.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-wake:
	}
}

// jittered spreads retries of several projections a little.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// permanent reports whether a task must stop at this error.
func permanent(err error) bool {
	var poisoned *Poisoned
	return errors.As(err, &poisoned) || errors.Is(err, ErrOvertaken) || errors.Is(err, ErrAhead)
}
