package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/projections/erasures"
)

// recordErasureLook records that a privacy officer looks at somebody's erasure; citizens look
// at their own.
func (v *Vault) recordErasureLook(ctx context.Context, act audit.Act, e erasures.Erasure) error {
	in := v.NewIntent(ctx)
	if in.Actor.IsSelf(e.Citizen) {
		return nil
	}
	return v.recordLook(ctx, in, audit.Operate{Act: act, On: e.Erasure.String(), Citizen: e.Citizen})
}

// GetErasure implements GET /erasures/{id}: the state of an erasure, for the citizen and for
// privacy officers.
func (v *Vault) GetErasure(ctx context.Context, r contract.GetErasureRequestObject) (contract.GetErasureResponseObject, error) {
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.Erasures.Name()); err != nil {
		return nil, err
	}
	e, err := v.Erasure(ctx, r.ErasureID)
	if err != nil {
		return nil, err
	}
	if err := v.recordErasureLook(ctx, audit.ReadErasure, e); err != nil {
		return nil, err
	}
	item := erasureItem(e)
	if item.State == contract.ErasureStateStopped {
		s, err := v.ErasureHistory(ctx, e.Citizen, e.Erasure)
		if err != nil {
			return nil, err
		}
		for _, d := range s.Duties {
			item.Duties = append(item.Duties, contract.DutyToKeep{DocumentID: d.Document, DocumentType: d.Type, Rule: d.Rule})
		}
	}
	return contract.GetErasure200JSONResponse(item), nil
}
