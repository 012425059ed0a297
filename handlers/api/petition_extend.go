package api

import (
	"context"

	"coffre/domain/petition"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/projections/erasures"
)

// ExtendPetition implements POST /petitions/{id}/extend (rules ).
func (v *Vault) ExtendPetition(ctx context.Context, r contract.ExtendPetitionRequestObject) (contract.ExtendPetitionResponseObject, error) {
	type extended struct {
		Petition contract.Petition
		At       contract.PositionToken
	}
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (extended, error) {
		state, err := v.petitionSeen(ctx, in, r.PetitionID)
		if err != nil {
			return extended{}, err
		}
		w := in.Write(0, acting.PetitionStream(state.Petition), state.Citizen)
		result, err := acting.Petitions.Transact(ctx, v.Log, w, petition.Extend{Text: r.Body.Text, By: in.Actor, At: in.At})
		if err != nil {
			return extended{}, err
		}
		item, err := v.petitionFor(ctx, in, erasures.Petition{State: result.State})
		if err != nil {
			return extended{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return extended{item, at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.ExtendPetition200JSONResponse{Body: done.Petition, Headers: contract.ExtendPetition200ResponseHeaders{CoffrePosition: done.At}}, nil
}
