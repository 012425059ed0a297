package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// PlaceHold implements POST /citizens/{id}/legalHolds (rules P-4, E-1). Without a
// case reference the call needs no key and works while keys are unavailable.
func (v *Vault) PlaceHold(ctx context.Context, r contract.PlaceHoldRequestObject) (contract.PlaceHoldResponseObject, error) {
	type placed struct {
		Hold contract.LegalHold
		At   contract.PositionToken
	}
	key := r.Params.IdempotencyKey
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (_ placed, err error) {
		if err := in.Reason(registry.ReasonLegalHold, r.Body.Reason); err != nil {
			return placed{}, err
		}
		hold := domain.HoldID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))}
		if err := v.takePersonAct(ctx, in, r.CitizenID, hold.UUID); err != nil {
			return placed{}, err
		}
		defer func() { v.FreeIfRefused(&acting.PersonActs, hold.UUID, err) }()
		whose, err := v.Survivor(ctx, r.CitizenID)
		if err != nil {
			return placed{}, err
		}
		result, err := acting.Citizens.TransactReserved(ctx, v.Log, in.Write(0, acting.CitizenStream(whose), whose), citizen.PlaceHold{
			Hold: hold, Reason: r.Body.Reason, CaseReference: r.Body.CaseReference, By: in.Actor, At: in.At,
		})
		if err != nil {
			return placed{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return placed{contract.LegalHold{Href: contract.HoldHref(hold), LegalHoldID: hold, CitizenID: r.CitizenID, Reason: r.Body.Reason, PlacedAt: in.At}, at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.PlaceHold201JSONResponse{Body: done.Hold, Headers: contract.PlaceHold201ResponseHeaders{CoffrePosition: done.At}}, nil
}
