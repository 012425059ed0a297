package work

import (
	"context"
	"io/fs"

	"golang.org/x/sync/errgroup"
)

// RunOptions configures the background work of a vault.
type RunOptions struct {
	Registry fs.FS // published into a log that holds no registry
	Belgif   fs.FS // Belgian code lists for its labels; nil: short labels
	// Ready is called once: with nil when the registry is served, or with the error that ends
	// Run. nil: nobody waits.
	Ready func(error)
	// RunExclusively runs work that only one of the processes on the same log and keys may do
	// at a time, again each time this process gets its turn, until ctx ends. nil: this
	// process is alone.
	RunExclusively func(ctx context.Context, name string, run func(context.Context) error) error
}

// resumeTurn names the turn of the process that resumes the work other processes of its duty
// left undone. The names are the same in every process and every release.
func (work *Worker) resumeTurn() string {
	switch {
	case work.answers:
		return "work"
	case work.destroyer != nil:
		return "destroy"
	}
	return "rotate"
}

// Run does the background work of a vault until ctx ends: it serves the registry and every
// version that other processes publish, records refusals and outcomes of accesses, and runs
// tasks, also those that former processes left undone. Run is called once, while the runner
// of the read models is running, and returns when all parts have stopped. A part that ends
// with an error stops the others, and Run returns that error.
func (work *Worker) Run(ctx context.Context, o RunOptions) error {
	err := work.loadOrPublishRegistry(ctx, o.Registry, o.Belgif)
	if err == nil {
		work.warnUnattested(ctx)
		work.tasks.enqueue("resume", work.resume)
	}
	if o.Ready != nil {
		o.Ready(err)
	}
	if err != nil {
		return err
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return work.pollRegistry(ctx) })
	parts.Go(func() error { work.Discloser.Run(ctx); return nil })
	parts.Go(func() error { work.runTasks(ctx); return nil })
	parts.Go(func() error { work.jobs.Run(ctx, work.Slog); return nil })
	if o.RunExclusively != nil {
		parts.Go(func() error { return o.RunExclusively(ctx, work.resumeTurn(), work.resumeInTurn) })
	}
	return parts.Wait()
}
