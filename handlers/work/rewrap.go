package work

import (
	"context"

	"coffre/domain"
	"coffre/eventstore/seal"
)

var errRotating = domain.NewError(domain.Conflict, "rotationUnderWay", "the keys are still being wrapped again after the last rotation")

// rewrapTask names the task that wraps every key again; there is one at a time.
const rewrapTask = "wrap keys again"

// Rotate makes a new version of the key-encryption key, returns its number, and enqueues the
// task that wraps every data key by it. With retried, a former attempt of the same request
// may have made the version, which is then not made again. While keys are still being
// wrapped Rotate refuses.
func (work *Worker) Rotate(ctx context.Context, retried bool) (version int, err error) {
	if work.rotator == nil {
		return 0, errNoRotator
	}
	s, err := work.Keys.Ledger().Status(ctx)
	if err != nil {
		return 0, err
	}
	next, err := work.Keys.Ledger().NextStep(ctx)
	switch {
	case err != nil:
		return 0, err
	case retried && next == seal.StepRewrap: // the first attempt rotated
		work.enqueueRewrap()
		return s.Versions.Latest, nil
	case work.tasks.busy(rewrapTask):
		return 0, errRotating
	}
	if version, err = work.rotator.Rotate(ctx); err != nil {
		return 0, err
	}
	work.enqueueRewrap()
	return version, nil
}

// Retire has the key-encryption key refuse every data key that an older version wrapped.
func (work *Worker) Retire(ctx context.Context) error {
	if work.rotator == nil {
		return errNoRotator
	}
	return work.rotator.Retire(ctx)
}

// Trim destroys the versions of the key-encryption key that were retired.
func (work *Worker) Trim(ctx context.Context) error {
	if work.rotator == nil {
		return errNoRotator
	}
	return work.rotator.Trim(ctx)
}

// errNoRotator refuses to replace keys in a process that may not.
var errNoRotator = domain.NewError(domain.Unavailable, "rotatorElsewhere", "keys are replaced by a process of its own, coffre rotator; its operator asks it")

// enqueueRewrap enqueues the task that wraps every data key by the newest version.
func (work *Worker) enqueueRewrap() {
	work.rewrap.begin()
	work.tasks.enqueue(rewrapTask, func(ctx context.Context) error {
		err := work.rotator.RewrapAll(ctx, work.rewrap.report)
		if ctx.Err() != nil {
			return err // the next start goes on
		}
		work.rewrap.end(work.Now(), err)
		return err
	})
}

// resumeRewrap wraps the data keys that a former process had not wrapped again, or had not
// noted as wrapped.
func (work *Worker) resumeRewrap(ctx context.Context) error {
	next, err := work.Keys.Ledger().NextStep(ctx)
	if err == nil && next == seal.StepRewrap {
		work.enqueueRewrap()
	}
	return err
}

var errRewrap = domain.NewError(domain.Unavailable, "rotationFailed", "not every key could be wrapped again; it is tried again, and the server's log says why")

// RotateRequestKey makes a new version of the request key and returns it.
func (work *Worker) RotateRequestKey(ctx context.Context) (int, error) {
	if work.rotator == nil {
		return 0, errNoRotator
	}
	return work.rotator.RotateRequests(ctx)
}

// RotateAuditKey makes a new version of the audit key and returns it.
func (work *Worker) RotateAuditKey(ctx context.Context) (int, error) {
	if work.rotator == nil {
		return 0, errNoRotator
	}
	return work.rotator.RotateAudit(ctx)
}
