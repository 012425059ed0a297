package api

import (
	"context"

	"coffre/domain/citizen"
	"coffre/handlers/contract"
)

// LiftHold implements POST /citizens/{id}/legalHolds/{id}/lift (rule P-4). An
// erasure that only waited for it goes on.
func (v *Vault) LiftHold(ctx context.Context, r contract.LiftHoldRequestObject) (contract.LiftHoldResponseObject, error) {
	type lifted struct{ At contract.PositionToken }
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (lifted, error) {
		result, err := citizens.TransactReserved(ctx, v.Log, in.write(0, citizenStream(r.CitizenID), r.CitizenID), citizen.LiftHold{
			Hold: r.LegalHoldID, By: in.actor, At: in.at,
		})
		if err != nil {
			return lifted{}, err
		}
		v.goOnErasing(r.CitizenID, result.State)
		at, err := v.position(ctx, result.Position)
		return lifted{at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.LiftHold204Response{Headers: contract.LiftHold204ResponseHeaders{CoffrePosition: done.At}}, nil
}
