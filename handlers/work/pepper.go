package work

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/eventstore/seal"
)

// pepperTask names the task that replaces the pepper; there is one at a time.
const pepperTask = "replace the pepper"

var errRepepper = domain.NewError(domain.Unavailable, "pepperRotationFailed", "not every number is found under the new pepper yet; it is tried again, and the server's log says why")

// BeginPepperRotation makes a new pepper and enqueues the task that replaces the old one. A
// replacement under way goes on instead.
func (work *Worker) BeginPepperRotation(ctx context.Context) error {
	if work.rotator == nil {
		return errNoRotator
	}
	// The first attempt may have begun; another process may be at it.
	if err := work.rotator.BeginPepper(ctx); err != nil && !errors.Is(err, seal.ErrPepperUnderWay) {
		return err
	}
	if !work.tasks.busy(pepperTask) {
		work.enqueuePepperRotation()
	}
	return nil
}

// enqueuePepperRotation enqueues the task that takes the rotation of the pepper from its
// present phase to its end.
func (work *Worker) enqueuePepperRotation() {
	work.repepper.begin()
	work.tasks.enqueue(pepperTask, func(ctx context.Context) error {
		err := work.rotator.BackfillPepper(ctx, nil)
		if err == nil {
			err = work.rotator.SwitchPepper(ctx)
		}
		if err == nil {
			err = work.rotator.DropPepper(ctx, nil)
		}
		if errors.Is(err, seal.ErrPepperPhase) { // another process has ended it
			err = nil
		}
		if ctx.Err() != nil {
			return err // the next start goes on
		}
		work.repepper.end(work.Now(), err)
		return err
	})
}

// resumePepper goes on with a rotation of the pepper that a former process began.
func (work *Worker) resumePepper(ctx context.Context) error {
	s, err := work.Keys.Ledger().PepperStatus(ctx)
	if err == nil && s.Phase != seal.PepperSettled {
		work.enqueuePepperRotation()
	}
	return err
}
