package api

import (
	"context"

	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// EndMandate implements POST /mandates/{id}/end (rule M-1.7). The end needs no
// key and does not queue behind other changes of the mandate.
func (v *Vault) EndMandate(ctx context.Context, r contract.EndMandateRequestObject) (contract.EndMandateResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (mandateAnswer, error) {
		if err := in.Reason(registry.ReasonMandateEnd, r.Body.Reason); err != nil {
			return mandateAnswer{}, err
		}
		by, err := v.sideOf(ctx, in, r.MandateID)
		if err != nil {
			return mandateAnswer{}, err
		}
		result, err := acting.Mandates.TransactReserved(ctx, v.Log, in.Write(0, acting.MandateStream(r.MandateID), acting.NoCitizen), mandate.End{Reason: r.Body.Reason, By: by, At: in.At})
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
	return contract.EndMandate200JSONResponse{Body: done.Receipt, Headers: contract.EndMandate200ResponseHeaders{CoffrePosition: done.At}}, nil
}
