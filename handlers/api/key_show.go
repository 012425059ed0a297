package api

import (
	"context"

	"coffre/handlers/contract"
)

// GetKeys implements GET /keys: the versions and numbers of the keys, never a key itself.
func (v *Vault) GetKeys(ctx context.Context, _ contract.GetKeysRequestObject) (contract.GetKeysResponseObject, error) {
	state, err := v.KeyState(ctx)
	if err != nil {
		return nil, err
	}
	return contract.GetKeys200JSONResponse(state), nil
}
