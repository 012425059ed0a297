package api

import (
	"context"
	"slices"

	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// LiftRestriction implements POST /citizens/{id}/restrictions/{id}/lift (rule P-5). An erasure
// that waited for nothing else goes on.
func (v *Vault) LiftRestriction(ctx context.Context, r contract.LiftRestrictionRequestObject) (contract.LiftRestrictionResponseObject, error) {
	if err := v.ActAlone(ctx, edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	type lifted struct{ At contract.PositionToken }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (lifted, error) {
		whose, err := v.LifeWith(ctx, r.CitizenID, func(s citizen.State) bool {
			return slices.ContainsFunc(s.Restrictions, func(one citizen.Restriction) bool { return one.ID == r.RestrictionID })
		})
		if err != nil {
			return lifted{}, err
		}
		result, err := acting.Citizens.TransactReserved(ctx, v.Log, in.Write(0, acting.CitizenStream(whose), whose), citizen.LiftRestriction{
			Restriction: r.RestrictionID, Informed: r.Body.CitizenInformed, By: v.AsLife(in.Actor, whose), At: in.At,
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
	return contract.LiftRestriction204Response{Headers: contract.LiftRestriction204ResponseHeaders{CoffrePosition: done.At}}, nil
}
