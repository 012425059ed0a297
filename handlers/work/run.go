package work

import (
	"context"
	"io/fs"

	"golang.org/x/sync/errgroup"
)

// RunOptions say how a vault does its work besides answering requests.
type RunOptions struct {
	Registry fs.FS // published into a log that holds no registry
	Belgif   fs.FS // Belgian code lists for its labels; nil: short labels
	// Ready is called once: when the registry is served, or with the reason why it cannot
	// be; then Run ends. nil: nobody waits.
	Ready func(error)
	// RunExclusively runs work that only one of the processes on the same log and keys may do at a
	// time, again each time this one's turn comes, until ctx ends. nil: this process is
	// alone.
	RunExclusively func(ctx context.Context, name string, run func(context.Context) error) error
}

// resumeTurn names the turn of who resumes what other processes left undone. All
// processes call it the same, in every release.
const resumeTurn = "work"

// Run does the vault's work besides answering requests, until ctx ends: it serves the
// registry and follows what other processes publish, records refusals and outcomes of
// accesses, and runs tasks, those too that former processes left undone. It runs once,
// with the read models' runner at work, and returns when all of it has stopped. A part
// that ends with an error stops the others.
func (work *Worker) Run(ctx context.Context, o RunOptions) error {
	err := work.loadOrPublishRegistry(ctx, o.Registry, o.Belgif)
	if err == nil {
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
	if o.RunExclusively != nil {
		parts.Go(func() error { return o.RunExclusively(ctx, resumeTurn, work.resumeInTurn) })
	}
	return parts.Wait()
}
