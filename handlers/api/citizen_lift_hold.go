package api

import (
	"context"
	"slices"

	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// LiftHold implements POST /citizens/{id}/legalHolds/{id}/lift (rule P-4). An
// erasure that waited for nothing else goes on.
func (v *Vault) LiftHold(ctx context.Context, r contract.LiftHoldRequestObject) (contract.LiftHoldResponseObject, error) {
	type lifted struct{ At contract.PositionToken }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (lifted, error) {
		whose, err := v.LifeWith(ctx, r.CitizenID, func(s citizen.State) bool {
			return slices.ContainsFunc(s.Holds, func(h citizen.Hold) bool { return h.ID == r.LegalHoldID })
		})
		if err != nil {
			return lifted{}, err
		}
		result, err := acting.Citizens.TransactReserved(ctx, v.Log, in.Write(0, acting.CitizenStream(whose), whose), citizen.LiftHold{
			Hold: r.LegalHoldID, By: in.Actor, At: in.At,
		})
		if err != nil {
			return lifted{}, err
		}
		if err := v.EnqueueErasuresOf(ctx, whose); err != nil {
			return lifted{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return lifted{at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.LiftHold204Response{Headers: contract.LiftHold204ResponseHeaders{CoffrePosition: done.At}}, nil
}
