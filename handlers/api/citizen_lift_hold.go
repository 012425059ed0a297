package api

import (
	"context"

	"coffre/domain/citizen"
)

// LiftHold implements POST /citizens/{id}/legalHolds/{id}/lift (rule P-4). An
// erasure that only waited for it goes on.
func (v *Vault) LiftHold(ctx context.Context, r LiftHoldRequestObject) (LiftHoldResponseObject, error) {
	type lifted struct{ At PositionToken }
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
	return LiftHold204Response{LiftHold204ResponseHeaders{done.At}}, nil
}
