package disclosure

import (
	"context"
	"sync"

	"coffre/domain/access"
	"coffre/eventstore"
)

// outcome is one that waits to be recorded.
type outcome struct {
	write eventstore.Write
	fact  access.RecordOutcome
}

// outcomeQueue holds outcomes for the workers. The zero value is empty; it may
// be used concurrently.
type outcomeQueue struct {
	mu      sync.Mutex
	waiting chan outcome
	open    int           // queued or being recorded
	idle    chan struct{} // closed when open is 0
}

func (q *outcomeQueue) lines() chan outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(chan outcome, outcomesQueued)
	}
	return q.waiting
}

// put queues an outcome and reports false when there is no room.
func (q *outcomeQueue) put(o outcome) bool {
	line := q.lines()
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case line <- o:
	default:
		return false
	}
	if q.open++; q.open == 1 {
		q.idle = make(chan struct{})
	}
	return true
}

func (q *outcomeQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open--; q.open == 0 {
		close(q.idle)
	}
}

// rest waits until nothing is queued.
func (q *outcomeQueue) rest(ctx context.Context) error {
	q.mu.Lock()
	idle, open := q.idle, q.open
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
