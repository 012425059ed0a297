package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RotateRequests implements POST /keys/rotateRequests: a new key for the digests of requests.
func (v *Vault) RotateRequests(ctx context.Context, r contract.RotateRequestsRequestObject) (contract.RotateRequestsResponseObject, error) {
	state, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.RequestKeyState, error) {
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RotateRequests}); err != nil {
			return contract.RequestKeyState{}, err
		}
		version, err := v.RotateRequestKey(ctx)
		return contract.RequestKeyState{Version: version}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RotateRequests200JSONResponse(state), nil
}
