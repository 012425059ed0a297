package eventstore

import (
	"context"
	"sync"
)

// StreamLocks is one lock per stream, kept only while somebody holds or awaits it. The
// zero value is ready; its method may be called concurrently.
type StreamLocks struct {
	mu   sync.Mutex
	held map[Stream]*streamLock
}

type streamLock struct {
	free    chan struct{} // holds one token when nobody has the lock
	waiters int
}

// Lock waits for the lock of s, and returns the function that gives it back; or ctx's
// error when that ends first, or ErrClosed when closed is. A nil closed never is.
func (k *StreamLocks) Lock(ctx context.Context, closed <-chan struct{}, s Stream) (unlock func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[Stream]*streamLock{}
	}
	l := k.held[s]
	if l == nil {
		l = &streamLock{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		k.held[s] = l
	}
	l.waiters++
	k.mu.Unlock()

	gone := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.waiters--; l.waiters == 0 {
			delete(k.held, s)
		}
	}
	select {
	case <-l.free:
		return func() { l.free <- struct{}{}; gone() }, nil
	case <-closed:
		gone()
		return nil, ErrClosed
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
