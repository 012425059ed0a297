package api

import (
	"context"
	"sync"
	"time"

	"coffre/domain"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var errRotating = domain.NewError(domain.Conflict, "rotationUnderWay", "the keys are still being wrapped again after the last rotation")

// rotation names the task that wraps every key again; there is one at a time.
const rotation = "wrap keys again"

// RotateKeys implements POST /keys/rotate: a new version of the key-encryption key
// at once, every data key wrapped by it in the background. What it wrapped before
// still opens, until RetireKeys.
func (v *Vault) RotateKeys(ctx context.Context, r contract.RotateKeysRequestObject) (contract.RotateKeysResponseObject, error) {
	type rotated struct{ Version int }
	_, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (rotated, error) {
		s, err := v.Keys.Ledger().Status(ctx)
		if err != nil {
			return rotated{}, err
		}
		next, err := v.Keys.Ledger().NextStep(ctx)
		switch {
		case err != nil:
			return rotated{}, err
		case in.settle && next == seal.StepRewrap: // the first attempt rotated
			v.wrapAgain()
			return rotated{s.Versions.Latest}, nil
		case v.tasks.busy(rotation):
			return rotated{}, errRotating
		}
		version, err := v.Rotator.Rotate(ctx)
		if err != nil {
			return rotated{}, err
		}
		v.wrapAgain()
		return rotated{version}, nil
	})
	if err != nil {
		return nil, err
	}
	state, err := v.keyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.RotateKeys202JSONResponse{Body: state, Headers: contract.RotateKeys202ResponseHeaders{Location: contract.Base + "/keys"}}, nil
}

func (v *Vault) wrapAgain() {
	v.rewrap.begin()
	v.tasks.put(rotation, func(ctx context.Context) error {
		err := v.Rotator.RewrapAll(ctx, v.rewrap.report)
		if ctx.Err() != nil {
			return err // the next start goes on
		}
		v.rewrap.end(v.Now(), err)
		return err
	})
}

// resumeRewrap goes on with what a former process had not wrapped again, or had not
// noted to be.
func (v *Vault) resumeRewrap(ctx context.Context) error {
	next, err := v.Keys.Ledger().NextStep(ctx)
	if err == nil && next == seal.StepRewrap {
		v.wrapAgain()
	}
	return err
}

// progress is how far something in the background is. The zero value never began;
// it may be used concurrently.
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

func (p *progress) status(now time.Time) (contract.TaskStatus, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := contract.TaskStatus{State: p.state, Completed: p.finished}
	switch p.state {
	case contract.TaskStateProcessing:
		s.PollAfter = now.UTC().Add(edge.PollAfter)
	case contract.TaskStateFailed:
		s.Problem = edge.TaskProblem(errRewrap)
	}
	return s, p.done
}

var errRewrap = domain.NewError(domain.Unavailable, "rotationFailed", "not every key could be wrapped again; it is tried again, and the server's log says why")
