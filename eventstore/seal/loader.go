package seal

import (
	"context"
	"sync"
)

// loader brings values that a cache misses. Callers that ask for the same key
// share one load, and keys asked for while loads run are loaded together, at most
// MaxBatch at once: a keeper behind a network is asked N/1000 times, not N.
type loader[K comparable, V any] struct {
	// load answers each key in order. Its context is the loader's, not a caller's:
	// whoever gives up must not fail the others.
	load func(ctx context.Context, keys []K) []loaded[V]
	ctx  context.Context

	mu      sync.Mutex
	flights map[K]*flight[V]
	queue   []K
	running int
}

const maxLoads = 4 // loads of one loader at the same time

type loaded[V any] struct {
	value V
	err   error
}

type flight[V any] struct {
	done chan struct{}
	loaded[V]
}

func newLoader[K comparable, V any](ctx context.Context, load func(context.Context, []K) []loaded[V]) *loader[K, V] {
	return &loader[K, V]{load: load, ctx: ctx, flights: map[K]*flight[V]{}}
}

func (l *loader[K, V]) one(ctx context.Context, k K) (V, error) {
	f := l.ask([]K{k})[0]
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// many waits for all keys and answers each in order.
func (l *loader[K, V]) many(ctx context.Context, keys []K) ([]loaded[V], error) {
	out := make([]loaded[V], len(keys))
	for i, f := range l.ask(keys) {
		select {
		case <-f.done:
			out[i] = f.loaded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

func (l *loader[K, V]) ask(keys []K) []*flight[V] {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*flight[V], len(keys))
	for i, k := range keys {
		f := l.flights[k]
		if f == nil {
			f = &flight[V]{done: make(chan struct{})}
			l.flights[k] = f
			l.queue = append(l.queue, k)
		}
		out[i] = f
	}
	// A few keys need one load only; more loads at once when there is a batch for each.
	for l.running < maxLoads && l.running*MaxBatch < len(l.queue) {
		l.running++
		go l.run()
	}
	return out
}

func (l *loader[K, V]) run() {
	for {
		l.mu.Lock()
		n := min(len(l.queue), MaxBatch)
		if n == 0 {
			l.running--
			l.mu.Unlock()
			return
		}
		keys := append([]K(nil), l.queue[:n]...)
		l.queue = append(l.queue[:0], l.queue[n:]...)
		l.mu.Unlock()

		results := l.load(l.ctx, keys)

		l.mu.Lock()
		for i, k := range keys {
			f := l.flights[k]
			delete(l.flights, k)
			f.loaded = results[i]
			close(f.done)
		}
		l.mu.Unlock()
	}
}
