package work

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/jobs"
	"coffre/projections"
)

// rebuildJob is the kind of the jobs that are rebuilds of read models.
const rebuildJob = "rebuild"

// partingTime bounds how long a process that ends tries to say that its rebuild did not.
const partingTime = 2 * time.Second

// The reasons why a rebuild failed.
var (
	errRebuildPoisoned = domain.NewError(domain.Unavailable, "rebuildPoisoned", "the read model cannot take in an event of the log, and the one in force stays; the server's log says which event")
	errRebuildFailed   = domain.NewError(domain.Unavailable, "rebuildFailed", "the read model could not be built anew, and the one in force stays; the server's log says why; ask for a new rebuild")
	errInterrupted     = domain.NewError(domain.Unavailable, jobs.Interrupted, "the process that was at it ended before it was done, and nothing was replaced; ask anew")
)

// rebuildProblems are the reasons by their slug.
var rebuildProblems = func() map[string]*domain.Error {
	all := make(map[string]*domain.Error)
	for _, e := range []*domain.Error{errRebuildPoisoned, errRebuildFailed, errInterrupted} {
		all[e.Slug] = e
	}
	return all
}()

// RebuildProblem returns why a rebuild failed; one that a later release recorded is told as
// failed.
func RebuildProblem(reason string) *domain.Error {
	if said, known := rebuildProblems[reason]; known {
		return said
	}
	return errRebuildFailed
}

// Rebuild asks durably for a rebuild of a read model under an id, enqueues it and returns it.
// Where a rebuild of the same read model is under way, in whatever process, that one is
// returned, and where this one was asked for before, it is.
func (work *Worker) Rebuild(ctx context.Context, id uuid.UUID, name string) (jobs.Job, error) {
	return work.job(ctx, id, rebuildJob, name, func(ctx context.Context) string { return work.rebuild(ctx, name) })
}

// job asks durably for a job of a kind on something, enqueues it and returns it, or the one that
// is in its place. run does it, once, and returns why it failed, a slug, or "".
func (work *Worker) job(ctx context.Context, id uuid.UUID, kind, on string, run func(context.Context) (reason string)) (jobs.Job, error) {
	job, ours, err := work.jobs.Request(ctx, id, kind, on)
	if err != nil || !ours {
		return job, err
	}
	var ended *string // the reason, once it ended
	work.tasks.enqueue(kind+" "+id.String(), func(ctx context.Context) error {
		if ended == nil {
			if err := work.jobs.Begin(ctx, id); err != nil {
				return err
			}
			reason := run(ctx)
			ended = &reason
		}
		// A process that ends says so still: nobody goes on with its jobs.
		parting, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
		defer cancel()
		return work.jobs.End(parting, id, *ended)
	})
	return job, nil
}

// rebuild builds a read model anew and returns why it failed, a slug, or "".
func (work *Worker) rebuild(ctx context.Context, name string) (reason string) {
	err := task{run: func(ctx context.Context) error { return work.Runner.Rebuild(ctx, name) }}.attempt(ctx)
	var poisoned *projections.Poisoned
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return errInterrupted.Slug
	case errors.As(err, &poisoned):
		reason = errRebuildPoisoned.Slug
	default:
		reason = errRebuildFailed.Slug
	}
	work.Slog.ErrorContext(ctx, "a read model was not rebuilt", slog.String("projection", name), slog.String("why", reason), slog.Any("error", err))
	return reason
}

// FindRebuild returns a rebuild; found is false when none has the id, or is still remembered.
func (work *Worker) FindRebuild(ctx context.Context, id uuid.UUID) (_ jobs.Job, found bool, err error) {
	job, found, err := work.jobs.Find(ctx, id)
	return job, found && job.Kind == rebuildJob, err
}
