package api

import (
	"context"

	"coffre/handlers/contract"
)

// GetKeys implements GET /keys: which keys there are, never a key.
func (v *Vault) GetKeys(ctx context.Context, _ contract.GetKeysRequestObject) (contract.GetKeysResponseObject, error) {
	state, err := v.KeyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.GetKeys200JSONResponse(state), nil
}
