package api

import (
	"context"

	"coffre/domain/consent"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// WithdrawConsent implements POST /consents/{id}/withdraw: rules C-1, C-4 and
// C-6. The withdrawal does not queue behind readings under the consent, and needs no key when
// the citizen makes it.
func (v *Vault) WithdrawConsent(ctx context.Context, r contract.WithdrawConsentRequestObject) (contract.WithdrawConsentResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (consentAnswer, error) {
		a, under, err := v.resolveDecider(ctx, in, r.ConsentID)
		if err != nil {
			return consentAnswer{}, err
		}
		w := a.AddTo(in.Write(0, acting.ConsentStream(r.ConsentID), a.Citizen))
		result, err := acting.Consents.TransactReserved(ctx, v.Log, w, consent.Withdraw{Mandate: under, By: a.By, At: in.At})
		if err != nil {
			return consentAnswer{}, err
		}
		return v.consentAnswer(ctx, r.ConsentID, result)
	})
	if err != nil {
		return nil, err
	}
	return contract.WithdrawConsent200JSONResponse{Body: done.Receipt, Headers: contract.WithdrawConsent200ResponseHeaders{CoffrePosition: done.At}}, nil
}
