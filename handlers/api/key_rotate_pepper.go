package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RotatePepper implements POST /keys/rotatePepper: a new pepper at once, the rest
// in the background. A request while a rotation is under way joins that rotation.
func (v *Vault) RotatePepper(ctx context.Context, r contract.RotatePepperRequestObject) (contract.RotatePepperResponseObject, error) {
	type begun struct{}
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (begun, error) {
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RotatePepper}); err != nil {
			return begun{}, err
		}
		return begun{}, v.BeginPepperRotation(ctx)
	})
	if err != nil {
		return nil, err
	}
	state, err := v.KeyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.RotatePepper202JSONResponse{Body: state, Headers: contract.RotatePepper202ResponseHeaders{Location: contract.Base + "/keys"}}, nil
}
