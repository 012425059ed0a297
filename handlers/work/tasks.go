package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"coffre/domain"
	"coffre/handlers/edge"
)

const (
	// maxRunningTasks bounds the tasks that run together: they give way to requests.
	maxRunningTasks = 4
	// minRetryPause and taskRetryMost bound the pause after a part was away.
	minRetryPause, maxRetryPause = time.Second, time.Minute
)

// tasks is the work that goes on after its request was answered: erasures,
// exports, rotation, rebuilding. It remembers nothing for ever: resume finds after
// a start what was left undone. Of one name one runs at a time. The zero value is
// empty; it may be used concurrently.
type tasks struct {
	mu      sync.Mutex
	waiting []task
	running map[string]bool
	signal  chan struct{} // holds a token when something may be ready to run
	idle    chan struct{} // closed when nothing waits or runs; nil when nobody asked
}

// task is run until it returns nil or a refusal; a fault is tried again, later and
// later, until the process ends.
type task struct {
	name string
	run  func(context.Context) error
}

func (t *tasks) wakeUps() chan struct{} {
	if t.signal == nil {
		t.signal = make(chan struct{}, 1)
	}
	return t.signal
}

func (t *tasks) notify() {
	select {
	case t.wakeUps() <- struct{}{}:
	default:
	}
}

// enqueue has a task run soon. One of the same name that waits already is enough; one
// that is running may have seen the past, so then it runs once more.
func (t *tasks) enqueue(name string, run func(context.Context) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waiting {
		if w.name == name {
			return
		}
	}
	t.waiting = append(t.waiting, task{name, run})
	t.notify()
}

// busy reports whether a task of that name waits or runs.
func (t *tasks) busy(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running[name] {
		return true
	}
	for _, w := range t.waiting {
		if w.name == name {
			return true
		}
	}
	return false
}

// take returns a task that may run now.
func (t *tasks) take() (task, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.running) >= maxRunningTasks {
		return task{}, false
	}
	for i, w := range t.waiting {
		if t.running[w.name] {
			continue
		}
		t.waiting = append(t.waiting[:i:i], t.waiting[i+1:]...)
		if t.running == nil {
			t.running = make(map[string]bool)
		}
		t.running[w.name] = true
		return w, true
	}
	return task{}, false
}

func (t *tasks) done(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, name)
	t.notify()
	t.reportIdle()
}

// reportIdle tells whoever waits that nothing is left, if so.
func (t *tasks) reportIdle() {
	if t.idle != nil && len(t.waiting)+len(t.running) == 0 {
		close(t.idle)
		t.idle = nil
	}
}

// WaitIdle waits until every task is done, or ctx ends.
func (work *Worker) WaitIdle(ctx context.Context) error {
	t := &work.tasks
	t.mu.Lock()
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.reportIdle()
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resumeInTurn resumes, until ctx ends, what other processes left undone that are there no
// more. Of several processes one at a time does it. performAll runs beside it.
func (work *Worker) resumeInTurn(ctx context.Context) error {
	work.tasks.enqueue("resume", work.resume)
	<-ctx.Done()
	return nil
}

// runTasks runs tasks, removes what is too old and tells which erasures are final until
// ctx ends, and returns when the tasks that ran have stopped. It runs once, with the read
// models' runner at work.
func (work *Worker) runTasks(ctx context.Context) {
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	work.tasks.mu.Lock()
	news := work.tasks.wakeUps()
	work.tasks.mu.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		for {
			next, ok := work.tasks.take()
			if !ok {
				break
			}
			all.Go(func() {
				defer work.tasks.done(next.name)
				work.runTask(ctx, next)
			})
		}
		select {
		case <-news:
		case <-tidy.C:
			work.tasks.enqueue("tidy", work.tidy)
			work.tasks.enqueue(finaliseTask, work.FinaliseErasures)
		case <-ctx.Done():
			return
		}
	}
}

// Rebuild has a read model built anew in the background, unless that is under way.
func (work *Worker) Rebuild(name string) {
	task := "rebuild " + name
	if !work.tasks.busy(task) {
		work.tasks.enqueue(task, func(ctx context.Context) error { return work.Runner.Rebuild(ctx, name) })
	}
}

// tidyInterval is how often what is too old is looked for.
const tidyInterval = time.Hour

// tidy removes exports and answers to requests that are too old to be asked for.
func (work *Worker) tidy(ctx context.Context) error {
	_, err := work.Requests.Purge(ctx)
	return errors.Join(err, work.removeOldExports(), work.tidyFiles(ctx))
}

// runTask runs one task to its end. A refusal is an end: somebody has to act first.
func (work *Worker) runTask(ctx context.Context, t task) {
	for pause := minRetryPause; ; pause = min(2*pause, maxRetryPause) {
		err := t.attempt(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case needsIntervention(err):
			var refusal *domain.Error
			errors.As(err, &refusal)
			work.Slog.InfoContext(ctx, "a task waits for somebody", slog.String("task", t.name), slog.String("why", refusal.Slug))
			return
		}
		work.Slog.ErrorContext(ctx, "a task is tried again", slog.String("task", t.name), slog.Any("error", err))
		if wait(ctx, pause) != nil {
			return
		}
	}
}

// attempt runs the task once. A panic is an error of this task and not the end of
// the process, which would meet it again at every start.
func (t task) attempt(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic (%T): %s", p, edge.Frames(debug.Stack()))
		}
	}()
	return t.run(ctx)
}

// needsIntervention reports whether a task was refused and trying again is no use
// before somebody acted.
func needsIntervention(err error) bool {
	var refusal *domain.Error
	return errors.As(err, &refusal) && refusal.Code != domain.Unavailable && refusal.Code != domain.Full
}

// wait returns after d, or with ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
