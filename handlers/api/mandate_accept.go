package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// AcceptMandate implements POST /mandates/{id}/accept (rule M-1.1).
func (v *Vault) AcceptMandate(ctx context.Context, r contract.AcceptMandateRequestObject) (contract.AcceptMandateResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (mandateAnswer, error) {
		by, err := v.sideOf(ctx, in, r.MandateID)
		if err != nil {
			return mandateAnswer{}, err
		}
		result, err := acting.Mandates.Transact(ctx, v.Log, in.Write(0, acting.MandateStream(r.MandateID), acting.NoCitizen), mandate.Accept{By: by, At: in.At})
		if err != nil {
			return mandateAnswer{}, err
		}
		v.Free(&acting.OpenMandates, r.MandateID.UUID)
		at, err := v.PositionToken(ctx, result.Position)
		return mandateAnswer{mandateReceipt(result.State), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.AcceptMandate200JSONResponse{Body: done.Receipt, Headers: contract.AcceptMandate200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// sideOf returns the caller as the side of a mandate that they are: a citizen under the life
// that stands in the mandate, anybody else as they are.
func (v *Vault) sideOf(ctx context.Context, in acting.Intent, id domain.MandateID) (domain.Actor, error) {
	if in.Actor.Role != domain.RoleCitizen {
		return in.Actor, nil
	}
	state, _, err := acting.Mandates.Load(ctx, v.Log, acting.MandateStream(id))
	if err != nil {
		return domain.Actor{}, err
	}
	me, err := v.LoadPerson(ctx, in.Actor.Citizen)
	for _, side := range []domain.CitizenID{state.Representative, state.Citizen} {
		if err == nil && me.Is(side) && !side.IsZero() {
			return v.AsLife(in.Actor, side), nil
		}
	}
	return in.Actor, err
}
