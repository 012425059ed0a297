package api

import (
	"context"

	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// TrimKeys implements POST /keys/trim: what was retired is destroyed, and nothing
// brings it back. The ring says what is missing.
func (v *Vault) TrimKeys(ctx context.Context, r contract.TrimKeysRequestObject) (contract.TrimKeysResponseObject, error) {
	type trimmed struct{}
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, _ acting.Intent) (trimmed, error) {
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
