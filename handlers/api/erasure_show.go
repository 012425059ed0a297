package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// GetErasure implements GET /erasures/{id}: how far it is, for the citizen and for
// privacy officers.
func (v *Vault) GetErasure(ctx context.Context, r contract.GetErasureRequestObject) (contract.GetErasureResponseObject, error) {
	if err := v.seen(ctx, r.Params.CoffreMinPosition, v.Erasures.Name()); err != nil {
		return nil, err
	}
	e, err := v.erasure(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	item := erasureItem(e)
	if item.State == contract.ErasureStateStopped {
		s, err := v.erasureSteps(ctx, e.Citizen, e.Erasure)
		if err != nil {
			return nil, err
		}
		for _, d := range s.duties {
			item.Duties = append(item.Duties, contract.DutyToKeep{DocumentID: d.Document, DocumentType: d.Type, Rule: d.Rule})
		}
	}
	return contract.GetErasure200JSONResponse(item), nil
}

// erasure finds a request that the caller may know of. What the read model does
// not know it is asked for once more when it has caught up with the log.
func (v *Vault) erasure(ctx context.Context, id domain.ErasureID) (erasures.Erasure, error) {
	call := edge.CallFrom(ctx)
	e, known, err := v.Erasures.Erasure(ctx, id)
	if err == nil && !known {
		if err = v.abreast(ctx, v.Erasures.Name()); err == nil {
			e, known, err = v.Erasures.Erasure(ctx, id)
		}
	}
	switch {
	case err != nil:
		return erasures.Erasure{}, err
	case !known, call.Role == domain.RoleCitizen && call.Citizen != e.Citizen:
		return erasures.Erasure{}, citizen.ErrNoErasure
	}
	return e, nil
}
