package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// ApproveIdentityProvider implements POST /identityProvider/changes/{id}/approve: the second
// person (rules I-2 and I-4).
func (v *Vault) ApproveIdentityProvider(ctx context.Context, r contract.ApproveIdentityProviderRequestObject) (contract.ApproveIdentityProviderResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.IdentityProviderChange, error) {
		waits, err := v.Providers(ctx)
		if err != nil {
			return contract.IdentityProviderChange{}, err
		}
		names := v.Keys.Audit()
		record, err := v.ChangeProviders(ctx, in, audit.ApproveProvider{
			Change: r.ChangeID, ProposedBy: waits.ProposedBy, Aliases: names.Subjects(in.Call.Subject), Comparable: names.Comparable(waits.ProposedBy.Subject),
			By: in.Actor, At: in.At,
		})
		return providerChange(record.Change, in.At), err
	})
	if err != nil {
		return nil, err
	}
	return contract.ApproveIdentityProvider200JSONResponse(done), nil
}
