package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// ListRestrictions implements GET /citizens/{id}/restrictions: every restriction of processing,
// lifted ones included, oldest first. The log itself answers, so that the answer is the one
// that disclosures are judged by.
func (v *Vault) ListRestrictions(ctx context.Context, r contract.ListRestrictionsRequestObject) (contract.ListRestrictionsResponseObject, error) {
	if err := v.ActAlone(ctx, edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	p, path := r.Params, contract.RestrictionsHref(r.CitizenID)
	from, err := v.LeafFrom(path, p.After, 0) // here how many were shown
	if err != nil {
		return nil, err
	}
	if err := v.recordRestrictionLook(ctx, audit.Operate{Act: audit.ListRestrictions, Citizen: r.CitizenID}); err != nil {
		return nil, err
	}
	items, err := v.restrictionsOf(ctx, r.CitizenID)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Number("pageSize", p.PageSize)
	page := contract.Restrictions{Self: links.At(p.After), PageSize: edge.PageSize(p.PageSize)}
	items = items[min(int(from), len(items)):]
	if len(items) > page.PageSize {
		items = items[:page.PageSize]
		page.Next, page.NextCursor = links.Next(v.Cursor(path, from+int64(page.PageSize)))
	}
	page.Items = items
	return contract.ListRestrictions200JSONResponse(page), nil
}

// GetRestriction implements GET /citizens/{id}/restrictions/{id}.
func (v *Vault) GetRestriction(ctx context.Context, r contract.GetRestrictionRequestObject) (contract.GetRestrictionResponseObject, error) {
	if err := v.ActAlone(ctx, edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	if err := v.recordRestrictionLook(ctx, audit.Operate{Act: audit.ReadRestriction, On: r.RestrictionID.String(), Citizen: r.CitizenID}); err != nil {
		return nil, err
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

// recordRestrictionLook records that a privacy officer looks at somebody's restrictions;
// citizens look at their own.
func (v *Vault) recordRestrictionLook(ctx context.Context, act audit.Operate) error {
	in := v.NewIntent(ctx)
	if in.Actor.Role == domain.RoleCitizen {
		return nil
	}
	return v.recordLook(ctx, in, act)
}
