package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// TrimKeys implements POST /keys/trim: retired versions of the key-encryption key are
// destroyed for good. The refusal names the step that is still missing.
func (v *Vault) TrimKeys(ctx context.Context, r contract.TrimKeysRequestObject) (contract.TrimKeysResponseObject, error) {
	type trimmed struct{}
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (trimmed, error) {
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.TrimKeys}); err != nil {
			return trimmed{}, err
		}
		return trimmed{}, v.Trim(ctx)
	})
	if err != nil {
		return nil, err
	}
	state, err := v.KeyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.TrimKeys200JSONResponse(state), nil
}
