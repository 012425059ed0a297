package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// RefuseConsentRequest implements POST /consentRequests/{id}/refuse (rule C-1).
func (v *Vault) RefuseConsentRequest(ctx context.Context, r contract.RefuseConsentRequestRequestObject) (contract.RefuseConsentRequestResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (consentAnswer, error) {
		a, under, err := v.resolveDecider(ctx, in, r.ConsentRequestID)
		if err != nil {
			return consentAnswer{}, err
		}
		w := a.AddTo(in.Write(0, acting.ConsentStream(r.ConsentRequestID), a.Citizen))
		result, err := acting.Consents.Transact(ctx, v.Log, w, consent.Refuse{Mandate: under, By: a.By, At: in.At})
		if err != nil {
			return consentAnswer{}, err
		}
		v.Free(&acting.ConsentRequests, r.ConsentRequestID.UUID)
		return v.consentAnswer(ctx, r.ConsentRequestID, result)
	})
	if err != nil {
		return nil, err
	}
	return contract.RefuseConsentRequest200JSONResponse{Body: done.Receipt, Headers: contract.RefuseConsentRequest200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// resolveDecider returns for whom, and under which mandate, the caller decides on an existing
// consent. For the citizen's own consent nothing but its stream is read and no key is needed.
// A consent that the caller may not decide on is refused as consent.ErrNotFound.
func (v *Vault) resolveDecider(ctx context.Context, in acting.Intent, id domain.ConsentID) (disclosure.Representation, mandate.InForce, error) {
	state, _, err := acting.Consents.Load(ctx, v.Log, acting.ConsentStream(id))
	switch {
	case err != nil:
		return disclosure.Representation{}, mandate.InForce{}, err
	case state.Phase == consent.None || state.Citizen.IsZero() || in.Actor.Citizen.IsZero():
		return disclosure.Representation{}, mandate.InForce{}, consent.ErrNotFound
	}
	a, err := v.ActFor(ctx, in, &state.Citizen, mandate.Consent)
	if err != nil || a.Self() {
		return a, mandate.InForce{}, err
	}
	types, err := v.typesOfTerms(ctx, state.Terms)
	if err != nil {
		return disclosure.Representation{}, mandate.InForce{}, err
	}
	under := a.MandateFor(types)
	for _, t := range types {
		if !under.Covers(t) {
			return disclosure.Representation{}, mandate.InForce{}, consent.ErrNotFound
		}
	}
	return a, under, nil
}
