package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
)

// DropPoison implements POST /poisonedEvents/drop.
func (v *Vault) DropPoison(ctx context.Context, r contract.DropPoisonRequestObject) (contract.DropPoisonResponseObject, error) {
	if err := v.operatePoison(ctx, r.Params.IdempotencyKey, audit.DropPoison, *r.Body, Reactors.Drop); err != nil {
		return nil, err
	}
	return contract.DropPoison204Response{}, nil
}
