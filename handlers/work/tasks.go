package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"coffre/domain"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
	"coffre/projections"
)

const (
	// maxRunningTasks bounds the tasks that run at the same time, so that requests come first.
	maxRunningTasks = 4
	// minRetryPause and maxRetryPause bound the pause before a failed task runs again.
	minRetryPause, maxRetryPause = time.Second, time.Minute
)

// tasks is the queue in memory of the work that goes on after its request was answered:
// erasures, exports, rotation, rebuilding. Tasks with the same name never run concurrently.
// After a restart resume enqueues the unfinished work again. The zero value is empty; it
// may be used concurrently.
type tasks struct {
	mu      sync.Mutex
	waiting []task
	running map[string]bool
	signal  chan struct{} // holds a token when something may be ready to run
	idle    chan struct{} // closed when nothing waits or runs; nil when nobody asked
}

// task is a named function that runs until it returns nil or a refusal. After a fault it
// runs again, after longer and longer pauses, until the process ends.
type task struct {
	name string
	run  func(context.Context) error
}

// wakeUps returns the channel on which runTasks waits for tasks. The caller holds t.mu.
func (t *tasks) wakeUps() chan struct{} {
	if t.signal == nil {
		t.signal = make(chan struct{}, 1)
	}
	return t.signal
}

// notify wakes runTasks. The caller holds t.mu.
func (t *tasks) notify() {
	select {
	case t.wakeUps() <- struct{}{}:
	default:
	}
}

// enqueue adds a task to the queue, unless one of the same name waits there. A task of the
// same name that is running may have read older state, so the new one runs after it.
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

// busy reports whether a task with the name waits or runs.
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

// take moves a task that may run now from the queue to the running ones; false when there
// is none.
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

// done marks the running task with the name as ended.
func (t *tasks) done(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, name)
	t.notify()
	t.reportIdle()
}

// reportIdle ends WaitIdle when no task waits or runs. The caller holds t.mu.
func (t *tasks) reportIdle() {
	if t.idle != nil && len(t.waiting)+len(t.running) == 0 {
		close(t.idle)
		t.idle = nil
	}
}

// WaitIdle waits until no task waits or runs, or returns ctx's error. It may be called
// concurrently.
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

// resumeInTurn resumes the work that ended processes left undone, and holds its turn until
// ctx ends. Only one of several processes has the turn; runTasks runs concurrently.
func (work *Worker) resumeInTurn(ctx context.Context) error {
	work.tasks.enqueue("resume", work.resume)
	switch {
	case work.answers:
		for wait(ctx, stepInPause) == nil {
			work.tasks.enqueue("resume exports", work.resumeExports)
		}
		return nil
	case work.destroyer == nil:
		<-ctx.Done()
		return nil
	}
	return work.followApprovals(ctx)
}

// stepInPause is the time between two looks for exports whose process is gone.
const stepInPause = time.Minute

// runTasks runs the tasks of the queue until ctx ends, and returns when those that were
// running have stopped. Once an hour it enqueues the removal of expired exports, files and
// request keys, and the finalisation of erasures. It is called once, while the runner of
// the read models is running.
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
			if work.answers {
				work.tasks.enqueue("tidy", work.tidy)
			}
			if work.destroyer != nil {
				work.tasks.enqueue(finaliseTask, work.FinaliseErasures)
				if !work.answers {
					work.tasks.enqueue("certificates", work.keepCertificates)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// tidyInterval is the time between two removals of expired exports, files and request keys.
const tidyInterval = time.Hour

// tidy removes expired exports, what a crash left of cancelled ones, expired answers to requests, counts of days that are over,
// and files that nothing needs.
func (work *Worker) tidy(ctx context.Context) error {
	_, err := work.Requests.Purge(ctx)
	return errors.Join(err, work.Quotas.Purge(ctx), work.removeOldExports(ctx), work.clearCancelled(ctx), work.tidyFiles(ctx), work.Keys.PurgeSuppressions(ctx))
}

// runTask runs one task to its end. A refusal ends it, for a person has to act first.
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
		level := slog.LevelError
		if modelsBehind(err) {
			level = slog.LevelWarn
		}
		work.Slog.Log(ctx, level, "a task is tried again", slog.String("task", t.name), slog.Any("error", err))
		if wait(ctx, pause) != nil {
			return
		}
	}
}

// modelsBehind reports whether err is nothing but that read models are being built or have not
// come far enough, which passes by itself: a start that builds them meets it.
func modelsBehind(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(one error) bool { return !modelsBehind(one) })
	}
	return errors.Is(err, acting.ErrModelsBehind) || errors.Is(err, projections.ErrNotReady)
}

// attempt runs the task once. A panic becomes an error of this task and does not end the
// process, which would meet it again at every start.
func (t task) attempt(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic (%T): %s", p, edge.Frames(debug.Stack()))
		}
	}()
	return t.run(ctx)
}

// needsIntervention reports whether err is a refusal that lasts until a person acts.
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
