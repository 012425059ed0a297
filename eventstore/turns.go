package eventstore

import (
	"context"
	"sync"
)

// Turns is one lock per stream, kept only while somebody holds or awaits it. The
// zero value is ready; its method may be called concurrently.
type Turns struct {
	mu   sync.Mutex
	held map[Stream]*turn
}

type turn struct {
	free    chan struct{} // holds one token when nobody has the lock
	waiters int
}

// Take waits for s, and returns how to let go; or ctx's error when that ends first, or
// ErrClosed when closed is. A nil closed never is.
func (k *Turns) Take(ctx context.Context, closed <-chan struct{}, s Stream) (leave func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[Stream]*turn{}
	}
	t := k.held[s]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		k.held[s] = t
	}
	t.waiters++
	k.mu.Unlock()

	gone := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if t.waiters--; t.waiters == 0 {
			delete(k.held, s)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; gone() }, nil
	case <-closed:
		gone()
		return nil, ErrClosed
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
