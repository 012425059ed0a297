package disclosure

import (
	"context"
	"sync"

	"coffre/domain/access"
	"coffre/eventstore"
)

// outcome is the outcome of one access, to be recorded.
type outcome struct {
	write eventstore.Write
	fact  access.RecordOutcome
}

// outcomeQueue holds outcomes for the workers. The zero value is empty; it may
// be used concurrently.
type outcomeQueue struct {
	mu      sync.Mutex
	waiting chan outcome
	pending int           // queued or being recorded
	idle    chan struct{} // closed when open is 0
}

func (q *outcomeQueue) channel() chan outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(chan outcome, maxOutcomesQueued)
	}
	return q.waiting
}

// add queues an outcome and reports false when there is no room.
func (q *outcomeQueue) add(o outcome) bool {
	line := q.channel()
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case line <- o:
	default:
		return false
	}
	if q.pending++; q.pending == 1 {
		q.idle = make(chan struct{})
	}
	return true
}

func (q *outcomeQueue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending--; q.pending == 0 {
		close(q.idle)
	}
}

// waitIdle waits until no outcome is queued or being recorded.
func (q *outcomeQueue) waitIdle(ctx context.Context) error {
	q.mu.Lock()
	idle, open := q.idle, q.pending
	q.mu.Unlock()
	if open == 0 {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
