package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/handlers/contract"
)

// PlaceHold implements POST /citizens/{id}/legalHolds (rules P-4, E-1). Without a
// case reference it works while no key can be had.
func (v *Vault) PlaceHold(ctx context.Context, r contract.PlaceHoldRequestObject) (contract.PlaceHoldResponseObject, error) {
	type placed struct {
		Hold contract.LegalHold
		At   contract.PositionToken
	}
	key := r.Params.IdempotencyKey
	done, err := once(ctx, v, key, func(ctx context.Context, in intent) (placed, error) {
		if err := in.reason(registry.ReasonLegalHold, r.Body.Reason); err != nil {
			return placed{}, err
		}
		hold := domain.HoldID{UUID: uuid.NewSHA1(key, []byte(owner(in.call)))}
		result, err := citizens.TransactReserved(ctx, v.Log, in.write(0, citizenStream(r.CitizenID), r.CitizenID), citizen.PlaceHold{
			Hold: hold, Reason: r.Body.Reason, CaseReference: r.Body.CaseReference, By: in.actor, At: in.at,
		})
		if err != nil {
			return placed{}, err
		}
		at, err := v.position(ctx, result.Position)
		return placed{contract.LegalHold{LegalHoldID: hold, Reason: r.Body.Reason, PlacedAt: in.at}, at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.PlaceHold201JSONResponse{Body: done.Hold, Headers: contract.PlaceHold201ResponseHeaders{CoffrePosition: done.At}}, nil
}
