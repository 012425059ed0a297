package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/handlers/contract"
)

// RefuseConsentRequest implements POST /consentRequests/{id}/refuse (rule C-1).
func (v *Vault) RefuseConsentRequest(ctx context.Context, r contract.RefuseConsentRequestRequestObject) (contract.RefuseConsentRequestResponseObject, error) {
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (decidedConsent, error) {
		a, under, err := v.decideOn(ctx, in, r.ConsentRequestID)
		if err != nil {
			return decidedConsent{}, err
		}
		w := a.write(in.write(0, consentStream(r.ConsentRequestID), a.citizen))
		result, err := consents.Transact(ctx, v.Log, w, consent.Refuse{Mandate: under, By: a.by, At: in.at})
		if err != nil {
			return decidedConsent{}, err
		}
		return v.decided(ctx, r.ConsentRequestID, result)
	})
	if err != nil {
		return nil, err
	}
	return contract.RefuseConsentRequest200JSONResponse{Body: done.Receipt, Headers: contract.RefuseConsentRequest200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// decideOn tells as what a citizen decides on a consent that exists. For their
// own nothing but its stream is read and no key is needed. A consent that is not
// theirs to decide on is not there.
func (v *Vault) decideOn(ctx context.Context, in intent, id domain.ConsentID) (acting, mandate.InForce, error) {
	state, _, err := consents.Load(ctx, v.Log, consentStream(id))
	switch {
	case err != nil:
		return acting{}, mandate.InForce{}, err
	case state.Phase == consent.None || in.actor.Citizen.IsZero():
		return acting{}, mandate.InForce{}, consent.ErrNotFound
	}
	a, err := v.actFor(ctx, in, state.Citizen, mandate.Consent)
	if err != nil || a.self() {
		return a, mandate.InForce{}, err
	}
	types, err := v.typesIn(ctx, state.Terms)
	if err != nil {
		return acting{}, mandate.InForce{}, err
	}
	under := a.under(types)
	for _, t := range types {
		if !under.Covers(t) {
			return acting{}, mandate.InForce{}, consent.ErrNotFound
		}
	}
	return a, under, nil
}
