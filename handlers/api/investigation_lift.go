package api

import (
	"context"

	"coffre/domain/investigation"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// LiftInvestigation implements POST /investigations/{id}/lift (rule H-3).
func (v *Vault) LiftInvestigation(ctx context.Context, r contract.LiftInvestigationRequestObject) (contract.LiftInvestigationResponseObject, error) {
	type lifted struct{ At contract.PositionToken }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (lifted, error) {
		result, err := acting.Investigations.Transact(ctx, v.Log, in.Write(0, acting.InvestigationStream(r.InvestigationID), acting.NoCitizen), investigation.Lift{By: in.Actor, At: in.At})
		if err != nil {
			return lifted{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return lifted{at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.LiftInvestigation204Response{Headers: contract.LiftInvestigation204ResponseHeaders{CoffrePosition: done.At}}, nil
}
