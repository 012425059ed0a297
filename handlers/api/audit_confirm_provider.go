package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// ConfirmIdentityProvider implements POST /identityProvider/confirm: a privacy officer's word
// that a recovered provider is the right one (rule I-4).
func (v *Vault) ConfirmIdentityProvider(ctx context.Context, r contract.ConfirmIdentityProviderRequestObject) (contract.ConfirmIdentityProviderResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.IdentityProviderRecord, error) {
		record, err := v.ChangeProviders(ctx, in, audit.ConfirmProvider{By: in.Actor, At: in.At})
		return providerRecord(record, in.At), err
	})
	if err != nil {
		return nil, err
	}
	return contract.ConfirmIdentityProvider200JSONResponse(done), nil
}
