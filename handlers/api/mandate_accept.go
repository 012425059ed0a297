package api

import (
	"context"

	"coffre/domain/mandate"
	"coffre/handlers/contract"
)

// AcceptMandate implements POST /mandates/{id}/accept (rule M-1.1).
func (v *Vault) AcceptMandate(ctx context.Context, r contract.AcceptMandateRequestObject) (contract.AcceptMandateResponseObject, error) {
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (mandated, error) {
		result, err := mandates.Transact(ctx, v.Log, in.write(0, mandateStream(r.MandateID), noCitizen), mandate.Accept{By: in.actor, At: in.at})
		if err != nil {
			return mandated{}, err
		}
		at, err := v.position(ctx, result.Position)
		return mandated{mandateReceipt(result.State), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.AcceptMandate200JSONResponse{Body: done.Receipt, Headers: contract.AcceptMandate200ResponseHeaders{CoffrePosition: done.At}}, nil
}
