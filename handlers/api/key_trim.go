package api

import (
	"context"

	"coffre/handlers/contract"
)

// TrimKeys implements POST /keys/trim: what was retired is destroyed, and nothing
// brings it back. The ring says what is missing.
func (v *Vault) TrimKeys(ctx context.Context, r contract.TrimKeysRequestObject) (contract.TrimKeysResponseObject, error) {
	type trimmed struct{}
	_, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, _ intent) (trimmed, error) {
		return trimmed{}, v.Rotator.Trim(ctx)
	})
	if err != nil {
		return nil, err
	}
	state, err := v.keyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.TrimKeys200JSONResponse(state), nil
}
