package api

import (
	"context"
	"slices"

	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// ListHolds implements GET /legalHolds: the legal holds of all citizens, oldest
// first, so that a privacy officer finds those that another placed. Case references stay
// sealed. The look is recorded first.
func (v *Vault) ListHolds(ctx context.Context, r contract.ListHoldsRequestObject) (contract.ListHoldsResponseObject, error) {
	p, path := r.Params, contract.Base+"/legalHolds"
	act := audit.Operate{Act: audit.ListHolds}
	if p.LegalHoldID != nil {
		act.On = p.LegalHoldID.String()
	}
	from, err := v.beginList(ctx, v.Erasures, p.CoffreMinPosition, path, p.After, act)
	if err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.Erasures.Holds(ctx, p.LegalHoldID, standing(p.State), from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.AddID(edge.LinksTo(path), "legalHoldId", p.LegalHoldID).Texts("state", edge.AsStrings(p.State)).Number("pageSize", p.PageSize)
	page := contract.LegalHolds{Self: links.At(p.After), Items: []contract.LegalHold{}, PageSize: size}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, contract.LegalHold{Href: contract.HoldHref(one.Hold), LegalHoldID: one.Hold, CitizenID: one.Citizen, Reason: one.Reason, PlacedAt: one.PlacedAt, LiftedAt: one.LiftedAt}), one.FirstLeaf
	}
	return contract.ListHolds200JSONResponse(page), nil
}

// standing returns which holds and restrictions states ask for.
func standing(states []contract.StandingState) erasures.Standing {
	return erasures.Standing{
		Stand:  slices.Contains(states, contract.StandingStateStanding),
		Lifted: slices.Contains(states, contract.StandingStateLifted),
	}
}
