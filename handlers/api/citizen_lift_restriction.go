package api

import (
	"context"

	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// LiftRestriction implements POST /citizens/{id}/restrictions/{id}/lift (rule P-5). An erasure
// that waited for nothing else goes on.
func (v *Vault) LiftRestriction(ctx context.Context, r contract.LiftRestrictionRequestObject) (contract.LiftRestrictionResponseObject, error) {
	if err := disclosure.ActAlone(edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	type lifted struct{ At contract.PositionToken }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (lifted, error) {
		result, err := acting.Citizens.TransactReserved(ctx, v.Log, in.Write(0, acting.CitizenStream(r.CitizenID), r.CitizenID), citizen.LiftRestriction{
			Restriction: r.RestrictionID, Informed: r.Body.CitizenInformed, By: in.Actor, At: in.At,
		})
		if err != nil {
			return lifted{}, err
		}
		v.EnqueueErasures(r.CitizenID, result.State)
		at, err := v.PositionToken(ctx, result.Position)
		return lifted{at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.LiftRestriction204Response{Headers: contract.LiftRestriction204ResponseHeaders{CoffrePosition: done.At}}, nil
}
