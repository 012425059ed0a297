package api

import (
	"context"

	"coffre/domain/citizen"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// ListRestrictions implements GET /citizens/{id}/restrictions: every restriction of processing,
// lifted ones included, oldest first. The log itself answers, so that the answer is the one
// that disclosures are judged by.
func (v *Vault) ListRestrictions(ctx context.Context, r contract.ListRestrictionsRequestObject) (contract.ListRestrictionsResponseObject, error) {
	if isAnother(ctx, r.CitizenID) {
		return nil, edge.ErrNoResource
	}
	items, err := v.restrictionsOf(ctx, r.CitizenID)
	if err != nil {
		return nil, err
	}
	return contract.ListRestrictions200JSONResponse{Self: contract.RestrictionsHref(r.CitizenID), Items: items}, nil
}

// GetRestriction implements GET /citizens/{id}/restrictions/{id}.
func (v *Vault) GetRestriction(ctx context.Context, r contract.GetRestrictionRequestObject) (contract.GetRestrictionResponseObject, error) {
	if isAnother(ctx, r.CitizenID) {
		return nil, edge.ErrNoResource
	}
	items, err := v.restrictionsOf(ctx, r.CitizenID)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if item.RestrictionID == r.RestrictionID {
			return contract.GetRestriction200JSONResponse(item), nil
		}
	}
	return nil, citizen.ErrNoRestriction
}
