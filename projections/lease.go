package projections

import "context"

// Lease keeps one runner per projection across processes. The token fences: it
// only grows, it is kept with the checkpoint, and a runner whose token is lower than
// the one kept there no longer moves the checkpoint, however late it wakes up.
type Lease interface {
	// Acquire waits until this process may run the named projection, or for ctx. The
	// context it returns ends when the lease is lost; release gives the lease back and
	// is called exactly once.
	Acquire(ctx context.Context, name string) (held context.Context, token int64, release func(), err error)
}

// Sole is the lease of a process that owns its read models' directory by a lock on
// it: nobody else can run a projection there.
type Sole struct{}

// Acquire implements Lease.
func (Sole) Acquire(ctx context.Context, _ string) (context.Context, int64, func(), error) {
	return ctx, 0, func() {}, ctx.Err()
}
