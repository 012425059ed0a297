package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffre/eventstore"
)

// task is one projection being run. Its goroutine alone changes db and token.
type task struct {
	name   string
	p      Projection
	wanted map[string]bool
	models models
	shared *schemas // models, where several processes share them; else nil
	lease  string   // its name
	r      *Runner
	log    *slog.Logger

	db      *database // nil until there is one
	token   int64
	patrols time.Time // the last one

	mu       sync.Mutex
	at       Checkpoint
	state    State
	failed   error // why it does not go on: *Poisoned, ErrOvertaken, or ErrNotReady when it has ended
	ended    bool
	leading  bool  // it holds the lease
	built    int64 // next leaf of the generation being built; -1 when there is none
	stalls   int
	waiting  int           // callers of waitFor
	changed  chan struct{} // closed and replaced when at, state or failed change
	next     *database     // a finished generation to switch to
	switched chan error    // answers whoever set next
	wake     context.CancelFunc
	hurry    chan struct{} // holds a token when somebody began to wait
}

func newTask(r *Runner, p Projection) *task {
	t := &task{
		name: p.Name(), p: p, r: r, wanted: map[string]bool{},
		models:  files{r.o.Dir, p.Name(), p.Version()},
		lease:   p.Name(),
		log:     r.o.Logger.With("projection", p.Name()),
		state:   Starting,
		built:   -1,
		changed: make(chan struct{}),
		hurry:   make(chan struct{}, 1),
	}
	for _, c := range p.Categories() {
		t.wanted[c] = true
	}
	if r.o.Postgres != nil {
		t.shared = &schemas{r.o.Postgres, p.Name(), p.Version()}
		t.models, t.lease = *t.shared, t.shared.lease()
	}
	return t
}

// open finds the tables in force; none when they must be built.
func (t *task) open(ctx context.Context) error {
	if t.shared != nil {
		return nil // whoever waits for the lease looks
	}
	db, err := t.models.openLatest(ctx)
	if err != nil || db == nil {
		return err
	}
	head, err := t.r.o.Store.Head(ctx)
	if err != nil {
		return errors.Join(err, db.close())
	}
	if db.at.Position.Compare(head) > 0 {
		t.log.Warn("building anew", "err", ErrAhead)
		return db.discard(ctx)
	}
	if err := t.models.drop(ctx, db, true); err != nil {
		return errors.Join(err, db.close())
	}
	t.serve(db)
	return nil
}

// serve makes db the tables in force and returns the former ones.
func (t *task) serve(db *database) (former *database) {
	former = t.p.View().exchange(db)
	t.update(func() { t.db, t.at = db, db.at })
	return former
}

// update changes what others see and wakes them.
func (t *task) update(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	close(t.changed)
	t.changed = make(chan struct{})
}

// run holds the lease and follows the log until ctx ends.
func (t *task) run(ctx context.Context) {
	defer t.update(func() {
		t.ended = true
		if t.failed == nil {
			t.failed, t.state = ErrNotReady, Stopped
		}
	})
	for ctx.Err() == nil {
		held, token, release, err := t.acquire(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.log.Error("no lease", "err", err)
				sleep(ctx, jittered(retryMost), nil)
			}
			continue
		}
		t.token = token
		if err := t.refresh(held); err == nil {
			t.update(func() { t.leading = true })
			t.follow(held)
			t.update(func() { t.leading = false })
		} else if held.Err() == nil {
			t.log.Error("cannot read the checkpoint", "err", err)
			sleep(ctx, jittered(retryMost), nil)
		}
		release()
	}
}

// refresh learns how far whoever held the lease before has come.
func (t *task) refresh(ctx context.Context) error {
	if t.shared != nil {
		return t.takeOver(ctx)
	}
	if t.db == nil {
		return nil
	}
	at, err := readCheckpoint(ctx, t.db.tx.conn)
	if err != nil {
		return err
	}
	t.db.at = at
	t.update(func() { t.at = at })
	return nil
}

// follow takes in what the log holds and what comes, until ctx ends.
func (t *task) follow(ctx context.Context) {
	pause := retryFirst
	for ctx.Err() == nil {
		t.exchange(ctx)
		began := time.Now()
		took, err := t.step(ctx)
		switch {
		case ctx.Err() != nil:
		case t.shared != nil && errors.Is(err, ErrOvertaken):
			return // another generation is in force, or another runner at work: look again
		case err != nil && hopeless(err):
			t.fail(err)
		case err != nil:
			t.log.Error("cannot keep up; trying again", "err", err)
			sleep(ctx, jittered(pause), nil)
			pause = min(2*pause, retryMost)
		case took == 0:
			pause = retryFirst
			t.rest(ctx)
		case took < pageEvents:
			pause = retryFirst
			t.breathe(ctx, linger-time.Since(began))
		}
	}
}

// step takes in the next batch and returns how many leaves that were; 0 when there
// is nothing to do or the task cannot go on.
func (t *task) step(ctx context.Context) (took int64, err error) {
	t.mu.Lock()
	stopped := t.failed != nil
	t.mu.Unlock()
	if err := t.patrol(ctx); err != nil {
		return 0, err
	}
	if t.db == nil {
		return 0, nil
	}
	if err := t.db.scrub(ctx); err != nil || stopped {
		return 0, err
	}
	from := t.db.at
	items, to, err := t.r.feed.batch(ctx, from)
	if err != nil {
		return 0, err
	}
	if to == from {
		t.update(func() { t.state = Live })
		return 0, nil
	}
	err = t.db.apply(ctx, t.token, t.p, t.wanted, items, to)
	took = t.db.at.Next - from.Next
	if err == nil { // before anybody hears of it
		err = t.db.scrub(ctx)
	}
	t.update(func() {
		t.at = t.db.at
		if took >= pageEvents {
			t.state = CatchingUp
		}
	})
	return max(took, 1), err
}

// batch returns what follows a checkpoint, as one page and those remembered behind it.
func (f *feed) batch(ctx context.Context, from Checkpoint) ([]item, Checkpoint, error) {
	p, err := f.page(ctx, from)
	if err != nil {
		return nil, from, err
	}
	items, to, bytes := p.items, p.after, p.bytes
	for to.Next-from.Next < pageEvents/2 && bytes < pageBytes/2 && to != from {
		more := f.remembered(to)
		if more == nil {
			break
		}
		items = append(items[:len(items):len(items)], more.items...)
		to, bytes = more.after, bytes+more.bytes
	}
	return items, to, nil
}

// fail stops the task, loudly. Others go on.
func (t *task) fail(err error) {
	var poisoned *Poisoned
	if errors.As(err, &poisoned) {
		t.log.Error("poisoned", "leaf", poisoned.Leaf, "type", poisoned.Type, "err", poisoned.Err)
		t.tell(poisoned)
	} else {
		t.log.Error("stopped", "err", err)
	}
	t.update(func() {
		t.failed = err
		t.state = PoisonedAt
		if poisoned == nil {
			t.state = Stopped
		}
	})
}

// rest waits for news of the log, for a generation to switch to, or for the
// watchdog: a store that forgets to announce an event is asked.
func (t *task) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchdog)
	defer cancel()
	t.mu.Lock()
	t.wake = cancel
	idle, failed := t.db == nil, t.failed != nil
	if t.next != nil {
		cancel()
	}
	t.mu.Unlock()
	if idle || failed {
		<-ctx.Done()
		return
	}
	err := t.r.o.Store.Wait(ctx, t.db.at.Position)
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
	if err == nil && head.Compare(t.db.at.Position) > 0 {
		t.log.Warn("the log had news that it did not announce")
		t.update(func() { t.stalls++ })
	}
}

// breathe lets a few events gather, unless somebody waits for them.
func (t *task) breathe(ctx context.Context, d time.Duration) {
	t.mu.Lock()
	waited := t.waiting > 0
	t.mu.Unlock()
	if waited || d <= 0 {
		return
	}
	select {
	case <-t.hurry: // from one who is gone
	default:
	}
	sleep(ctx, d, t.hurry)
}

func (t *task) waitFor(ctx context.Context, p eventstore.Position) error {
	t.mu.Lock()
	t.waiting++
	t.mu.Unlock()
	select {
	case t.hurry <- struct{}{}:
	default:
	}
	defer func() {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
	}()
	for {
		t.mu.Lock()
		at, failed, changed := t.at.Position, t.failed, t.changed
		t.mu.Unlock()
		switch {
		case at.Compare(p) >= 0:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", t.name, ctx.Err())
		}
	}
}

// status as seen against the log's last leaf.
func (t *task) status(head int64) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{
		Name: t.name, Version: t.p.Version(), State: t.state, Leaf: t.at.Next - 1, HeadLeaf: head,
		RebuiltTo: -1, PoisonedLeaf: -1, Stalls: t.stalls,
	}
	s.Lag = max(head-s.Leaf, 0)
	var poisoned *Poisoned
	if errors.As(t.failed, &poisoned) {
		s.PoisonedLeaf, s.PoisonedType = poisoned.Leaf, poisoned.Type
	}
	if t.built >= 0 {
		s.State, s.RebuiltTo = Rebuilding, t.built-1
	}
	return s
}

// missing reports whether the task has no tables yet and is not known to be unable
// to build them.
func (t *task) missing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.db == nil && t.failed == nil
}

// offer hands a finished generation to the task and returns once it is in force.
func (t *task) offer(ctx context.Context, db *database) error {
	if t.shared != nil {
		if err := t.promote(ctx, db); err != nil {
			return errors.Join(err, db.discard(ctx))
		}
		defer func() { // the lock of its users is held until others of this process have it
			if err := db.close(); err != nil {
				t.log.Warn("new read model", "err", err)
			}
		}()
	}
	answer := make(chan error, 1)
	t.mu.Lock()
	ended, unclaimed := t.ended, t.next
	if !ended {
		t.next, t.switched = db, answer
		if t.wake != nil {
			t.wake()
		}
	}
	t.mu.Unlock()
	if ended && t.shared != nil {
		return nil // it is in force for others
	}
	if ended {
		return errors.Join(ErrNotReady, db.close())
	}
	if unclaimed != nil && t.shared == nil { // from a caller who gave up
		if err := unclaimed.discard(ctx); err != nil {
			t.log.Warn("former read model", "err", err)
		}
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exchange switches to an offered generation, once it shows no less than the
// former one did: who was told that something is visible must find it.
func (t *task) exchange(ctx context.Context) {
	t.mu.Lock()
	next, answer := t.next, t.switched
	t.next, t.switched = nil, nil
	t.mu.Unlock()
	if next == nil {
		return
	}
	if t.shared != nil {
		err := t.adopt(ctx)
		t.update(func() { t.built = -1 })
		answer <- err
		return
	}
	for t.db != nil && next.at.Position.Compare(t.db.at.Position) < 0 {
		items, to, err := t.r.feed.batch(ctx, next.at)
		switch {
		case err != nil:
		case to == next.at:
			err = fmt.Errorf("%w: it ends before what was shown already", ErrAhead)
		default:
			err = next.apply(ctx, t.token, t.p, t.wanted, items, to)
		}
		if err != nil && !hopeless(err) && ctx.Err() == nil {
			t.log.Error("cannot catch up before the switch; trying again", "err", err)
			sleep(ctx, jittered(retryMost), nil)
			continue
		}
		if err != nil {
			answer <- errors.Join(err, next.discard(ctx))
			return
		}
	}
	t.replace(ctx, next)
	answer <- nil
}

// replace puts other tables in force and drops the former ones.
func (t *task) replace(ctx context.Context, next *database) {
	former := t.serve(next)
	t.update(func() { t.failed, t.state, t.built = nil, CatchingUp, -1 })
	if former == nil {
		t.dropAllBut(ctx, next)
		return
	}
	t.r.closing.Go(func() { // once the readers that are still at it have finished
		if err := former.close(); err != nil {
			t.log.Warn("former read model", "err", err)
		}
		t.dropAllBut(ctx, next)
	})
}

func (t *task) dropAllBut(ctx context.Context, db *database) {
	if err := t.models.drop(ctx, db, false); err != nil {
		t.log.Warn("former read model", "err", err)
	}
}

// close ends reading and writing; the goroutine has ended.
func (t *task) close() {
	t.mu.Lock()
	next := t.next
	t.next = nil
	if t.shared != nil {
		next = nil // its builder's
	}
	t.mu.Unlock()
	for _, db := range []*database{t.p.View().exchange(nil), next} {
		if db == nil {
			continue
		}
		if err := db.close(); err != nil {
			t.log.Warn("close read model", "err", err)
		}
	}
}
