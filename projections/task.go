package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// task is one projection being run. Its goroutine alone changes current and token.
type task struct {
	name   string
	p      Projection
	wanted map[string]bool
	model  Model
	r      *Runner
	log    *slog.Logger

	current *generation // nil until there is one
	token   int64
	checked time.Time // when checkInForce last asked the medium

	mu       sync.Mutex
	at       Checkpoint
	state    State
	failed   error // why it does not go on: *Poisoned, ErrOvertaken, or ErrNotReady when it has ended
	ended    bool
	leading  bool      // it holds the lease
	built    *progress // of the generation being built; nil when there is none
	stalls   int
	failures failures
	waiting  int           // callers of waitForPosition
	changed  chan struct{} // closed and replaced when at, state, failed or leading change
	next     *generation   // a finished generation to switch to
	switched chan error    // answers whoever set next
	wake     context.CancelFunc
	awaited  chan struct{} // holds a token when somebody began to wait
}

func newTask(r *Runner, p Projection) *task {
	t := &task{
		name: p.Name(), p: p, r: r, wanted: map[string]bool{},
		model:   r.o.Medium.Model(p.Name(), p.Version()),
		log:     r.o.Logger.With("projection", p.Name()),
		state:   Starting,
		changed: make(chan struct{}),
		awaited: make(chan struct{}, 1),
	}
	for _, c := range p.Categories() {
		t.wanted[c] = true
	}
	return t
}

// start opens the tables in force, where this process alone may write them. Those that
// show more than the log holds are withdrawn.
func (t *task) start(ctx context.Context) error {
	tables, err := t.model.Start(ctx)
	if err != nil || tables == nil {
		return err
	}
	generation := tables.Generation()
	g, err := openGeneration(ctx, tables)
	if err != nil && tables.Fault(err) == Damaged { // it is closed
		t.log.Error("building anew", "err", ErrDamaged)
		return t.model.Withdraw(ctx, generation)
	}
	if err != nil {
		return err
	}
	ahead, err := t.aheadOfLog(ctx, g)
	if err != nil {
		return errors.Join(err, g.close())
	}
	if ahead {
		return t.withdraw(ctx, g, ErrAhead)
	}
	t.serve(g)
	return nil
}

// serve makes g the tables in force and returns the former ones.
func (t *task) serve(g *generation) (former *generation) {
	g.hurt = t.interrupt
	former = t.p.View().exchange(g)
	t.update(func() { t.current, t.at = g, g.at })
	return former
}

// interrupt ends the wait for events.
func (t *task) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wake != nil {
		t.wake()
	}
}

// update changes what others see and wakes them.
func (t *task) update(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	close(t.changed)
	t.changed = make(chan struct{})
}

// run waits for the lease and takes events in while it holds it, until ctx ends.
func (t *task) run(ctx context.Context) {
	defer t.update(func() {
		t.ended = true
		if t.failed == nil {
			t.failed, t.state = ErrNotReady, Stopped
		}
	})
	for ctx.Err() == nil {
		lease, err := t.acquire(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.tryFailed(fmt.Errorf("ask for the lease: %w", err))
				sleep(ctx, jittered(retryMost), nil)
			}
			continue
		}
		t.token = lease.Token
		if err := t.takeOver(lease.Held); err == nil {
			t.update(func() { t.leading = true })
			t.keepUp(lease.Held)
			t.update(func() { t.leading = false })
		} else if lease.Held.Err() == nil {
			t.tryFailed(fmt.Errorf("take over: %w", err))
			sleep(ctx, jittered(retryMost), nil)
		}
		lease.Release()
	}
}

// keepUp takes in what the log holds and what comes, until ctx ends or another runner
// or generation has taken over.
func (t *task) keepUp(ctx context.Context) {
	pause := retryFirst
	for ctx.Err() == nil {
		t.switchOver(ctx)
		began := time.Now()
		took, err := t.takeBatch(ctx)
		if err == nil && t.current != nil {
			t.trySucceeded()
		}
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrOvertaken):
			t.report(err)
			return
		case t.current != nil && t.current.foundDamaged(err):
		case err != nil && permanent(err):
			t.fail(err)
		case err != nil:
			t.tryFailed(err)
			sleep(ctx, jittered(pause), nil)
			pause = min(2*pause, retryMost)
		case took == 0:
			pause = retryFirst
			t.waitForEvents(ctx)
		case took < pageEvents:
			pause = retryFirst
			t.gatherEvents(ctx, linger-time.Since(began))
		}
	}
}

// takeBatch takes in the next batch and returns how many leaves that were; 0 when
// there is nothing to do or the task cannot go on.
func (t *task) takeBatch(ctx context.Context) (took int64, err error) {
	t.mu.Lock()
	stopped := t.failed != nil
	t.mu.Unlock()
	if err := t.checkInForce(ctx); err != nil {
		return 0, err
	}
	if err := t.withdrawDamaged(ctx); err != nil {
		return 0, err
	}
	if t.current == nil {
		return 0, nil
	}
	if err := t.current.scrub(ctx); err != nil || stopped {
		return 0, err
	}
	from := t.current.at
	items, to, err := t.r.feed.batch(ctx, from)
	if err != nil {
		return 0, err
	}
	if to == from {
		t.update(func() { t.state = Live })
		return 0, nil
	}
	err = t.current.apply(ctx, t.token, t.p, t.wanted, items, to)
	took = t.current.at.Next - from.Next
	if err == nil { // before anybody hears of it
		err = t.current.scrub(ctx)
	}
	t.update(func() {
		t.at = t.current.at
		if took >= pageEvents {
			t.state = CatchingUp
		}
	})
	return max(took, 1), err
}

// fail stops the task, loudly. Others go on.
func (t *task) fail(err error) {
	var poisoned *Poisoned
	if errors.As(err, &poisoned) {
		t.log.Error("poisoned", "leaf", poisoned.Leaf, "type", poisoned.Type, "err", poisoned.Err)
		t.report(poisoned)
	} else {
		t.log.Error("stopped", "err", err)
	}
	t.update(func() { t.failed, t.state = err, stateOf(err) })
}

// stateOf returns the state of a projection that stopped for this reason.
func stateOf(stopped error) State {
	var poisoned *Poisoned
	if errors.As(stopped, &poisoned) {
		return PoisonedAt
	}
	return Stopped
}

// report tells the processes that follow this one's runner why it stopped.
func (t *task) report(stopped error) {
	ctx, cancel := context.WithTimeout(context.Background(), reportTime)
	defer cancel()
	if err := t.model.Report(ctx, t.token, stopped); err != nil {
		t.log.Warn("others do not hear of it", "err", err)
	}
}

// waitForEvents waits for news of the log, for a generation to switch to, or for the
// watchdog: a store that forgets to announce an event is asked.
func (t *task) waitForEvents(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchdog)
	defer cancel()
	t.mu.Lock()
	t.wake = cancel
	idle, failed := t.current == nil, t.failed != nil
	if t.next != nil || !idle && t.current.damaged.Load() {
		cancel()
	}
	t.mu.Unlock()
	if idle || failed {
		<-ctx.Done()
		return
	}
	err := t.r.o.Store.Wait(ctx, t.current.at.Position)
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		if err != nil && ctx.Err() == nil {
			t.log.Error("cannot wait for the log", "err", err)
			sleep(ctx, jittered(retryMost), nil)
		}
		return
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchdog)
	defer cancel()
	head, err := t.r.o.Store.Head(asking)
	if err == nil && head.Compare(t.current.at.Position) > 0 {
		t.log.Warn("the log had news that it did not announce")
		t.update(func() { t.stalls++ })
	}
}

// gatherEvents lets a few events come together, unless somebody waits for them.
func (t *task) gatherEvents(ctx context.Context, d time.Duration) {
	t.mu.Lock()
	waited := t.waiting > 0
	t.mu.Unlock()
	if waited || d <= 0 {
		return
	}
	select {
	case <-t.awaited: // by one who is gone
	default:
	}
	sleep(ctx, d, t.awaited)
}

// close ends reading and writing; the goroutine has ended.
func (t *task) close() {
	t.mu.Lock()
	next, answer := t.next, t.switched
	t.next, t.switched = nil, nil
	t.mu.Unlock()
	if next != nil {
		answer <- ErrNotReady
	}
	for _, g := range []*generation{t.p.View().exchange(nil), next} {
		if g == nil {
			continue
		}
		if err := g.close(); err != nil {
			t.log.Warn("close read model", "err", err)
		}
	}
}
