package api

import (
	"context"

	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// AcceptMandate implements POST /mandates/{id}/accept (rule M-1.1).
func (v *Vault) AcceptMandate(ctx context.Context, r contract.AcceptMandateRequestObject) (contract.AcceptMandateResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (mandateAnswer, error) {
		result, err := acting.Mandates.Transact(ctx, v.Log, in.Write(0, acting.MandateStream(r.MandateID), acting.NoCitizen), mandate.Accept{By: in.Actor, At: in.At})
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
