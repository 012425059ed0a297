package work

import (
	"sync"
	"time"

	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// progress holds the state of a task in the background and the number of keys done. The
// zero value is a task that never began; it may be used concurrently.
type progress struct {
	mu       sync.Mutex
	state    contract.TaskState
	done     int64
	finished time.Time
}

func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.done, p.finished = contract.TaskStateProcessing, 0, time.Time{}
}

func (p *progress) report(done, _ int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = int64(done)
}

func (p *progress) end(at time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.finished = contract.TaskStateDone, at.UTC()
	if err != nil {
		p.state = contract.TaskStateFailed
	}
}

func (p *progress) status(now time.Time) (contract.TaskProgress, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := contract.TaskProgress{State: p.state, Completed: p.finished}
	switch p.state {
	case contract.TaskStateProcessing:
		s.PollAfter = now.UTC().Add(edge.PollAfter)
	case contract.TaskStateFailed:
		s.Problem = edge.TaskProblem(errRewrap)
	}
	return s, p.done
}
