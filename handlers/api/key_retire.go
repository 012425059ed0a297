package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RetireKeys implements POST /keys/retire: from here on the key-encryption key
// refuses what an older version wrapped. The refusal names the step
// that is still missing.
func (v *Vault) RetireKeys(ctx context.Context, r contract.RetireKeysRequestObject) (contract.RetireKeysResponseObject, error) {
	type retired struct{}
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (retired, error) {
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RetireKeys}); err != nil {
			return retired{}, err
		}
		return retired{}, v.Retire(ctx)
	})
	if err != nil {
		return nil, err
	}
	state, err := v.KeyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.RetireKeys200JSONResponse(state), nil
}
