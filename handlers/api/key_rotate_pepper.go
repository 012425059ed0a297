package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
)

// pepperRotation names the task that replaces the pepper; there is one at a time.
const pepperRotation = "replace the pepper"

var errRepepper = domain.NewError(domain.Unavailable, "pepperRotationFailed", "not every number is found under the new pepper yet; it is tried again, and the server's log says why")

// RotatePepper implements POST /keys/rotatePepper: a new pepper at once, the rest
// in the background. Asked again meanwhile, it is the same rotation.
func (v *Vault) RotatePepper(ctx context.Context, r contract.RotatePepperRequestObject) (contract.RotatePepperResponseObject, error) {
	type begun struct{}
	_, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (begun, error) {
		// The first attempt may have begun; another process may be at it.
		if err := v.Rotator.BeginPepper(ctx); err != nil && !errors.Is(err, seal.ErrPepperUnderWay) {
			return begun{}, err
		}
		if !v.tasks.busy(pepperRotation) {
			v.replacePepper()
		}
		return begun{}, nil
	})
	if err != nil {
		return nil, err
	}
	state, err := v.keyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.RotatePepper202JSONResponse{Body: state, Headers: contract.RotatePepper202ResponseHeaders{Location: contract.Base + "/keys"}}, nil
}

// replacePepper takes the rotation of the pepper to its end, from wherever it is.
func (v *Vault) replacePepper() {
	v.repepper.begin()
	v.tasks.put(pepperRotation, func(ctx context.Context) error {
		err := v.Rotator.BackfillPepper(ctx, nil)
		if err == nil {
			err = v.Rotator.SwitchPepper(ctx)
		}
		if err == nil {
			err = v.Rotator.DropPepper(ctx, nil)
		}
		if errors.Is(err, seal.ErrPepperPhase) { // another process has ended it
			err = nil
		}
		if ctx.Err() != nil {
			return err // the next start goes on
		}
		v.repepper.end(v.Now(), err)
		return err
	})
}

// resumePepper goes on with what a former process had not ended.
func (v *Vault) resumePepper(ctx context.Context) error {
	s, err := v.Keys.Ledger().PepperStatus(ctx)
	if err == nil && s.Phase != seal.PepperSettled {
		v.replacePepper()
	}
	return err
}
