package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RotateKeys implements POST /keys/rotate: a new version of the key-encryption key
// at once, every data key wrapped by it in the background. Data keys that
// older versions wrapped still open, until RetireKeys.
func (v *Vault) RotateKeys(ctx context.Context, r contract.RotateKeysRequestObject) (contract.RotateKeysResponseObject, error) {
	type rotated struct{ Version int }
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (rotated, error) {
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RotateKeys}); err != nil {
			return rotated{}, err
		}
		version, err := v.Rotate(ctx, in.Settle)
		return rotated{version}, err
	})
	if err != nil {
		return nil, err
	}
	state, err := v.KeyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.RotateKeys202JSONResponse{Body: state, Headers: contract.RotateKeys202ResponseHeaders{Location: contract.Base + "/keys"}}, nil
}
