package api

import (
	"context"

	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/handlers/contract"
)

// EndMandate implements POST /mandates/{id}/end (rule M-1.7). It needs no key and
// waits for nobody.
func (v *Vault) EndMandate(ctx context.Context, r contract.EndMandateRequestObject) (contract.EndMandateResponseObject, error) {
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (mandated, error) {
		if err := in.reason(registry.ReasonMandateEnd, r.Body.Reason); err != nil {
			return mandated{}, err
		}
		result, err := mandates.TransactReserved(ctx, v.Log, in.write(0, mandateStream(r.MandateID), noCitizen), mandate.End{Reason: r.Body.Reason, By: in.actor, At: in.at})
		if err != nil {
			return mandated{}, err
		}
		at, err := v.position(ctx, result.Position)
		return mandated{mandateReceipt(result.State), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.EndMandate200JSONResponse{Body: done.Receipt, Headers: contract.EndMandate200ResponseHeaders{CoffrePosition: done.At}}, nil
}
