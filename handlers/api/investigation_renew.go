package api

import (
	"context"

	"coffre/domain/investigation"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RenewInvestigation implements POST /investigations/{id}/renew (rule H-2).
func (v *Vault) RenewInvestigation(ctx context.Context, r contract.RenewInvestigationRequestObject) (contract.RenewInvestigationResponseObject, error) {
	type renewed struct{ At contract.PositionToken }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (_ renewed, err error) {
		if err := v.Take(ctx, in.Call, &acting.InvestigationActs, acting.Room{ID: in.ID(0)}); err != nil {
			return renewed{}, err
		}
		defer func() { v.FreeIfRefused(&acting.InvestigationActs, in.ID(0), err) }()
		result, err := acting.Investigations.Transact(ctx, v.Log, in.Write(0, acting.InvestigationStream(r.InvestigationID), acting.NoCitizen), investigation.Renew{
			Until: r.Body.Until.UTC(), Registrations: in.Words.Registrations(in.Actor.Organisation), By: in.Actor, At: in.At,
		})
		if err != nil {
			return renewed{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return renewed{at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RenewInvestigation204Response{Headers: contract.RenewInvestigation204ResponseHeaders{CoffrePosition: done.At}}, nil
}
