package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// ListAllRestrictions implements GET /restrictions: the restrictions of processing
// of all citizens, oldest first. The look is recorded first.
func (v *Vault) ListAllRestrictions(ctx context.Context, r contract.ListAllRestrictionsRequestObject) (contract.ListAllRestrictionsResponseObject, error) {
	p, path := r.Params, contract.Base+"/restrictions"
	from, err := v.beginList(ctx, v.Erasures, p.CoffreMinPosition, path, p.After, audit.Operate{Act: audit.ListAllRestrictions})
	if err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.Erasures.Restrictions(ctx, standing(p.State), from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Texts("state", edge.AsStrings(p.State)).Number("pageSize", p.PageSize)
	page := contract.Restrictions{Self: links.At(p.After), Items: []contract.Restriction{}, PageSize: size}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, restrictionItem(one.Citizen, one.Restriction)), one.FirstLeaf
	}
	return contract.ListAllRestrictions200JSONResponse(page), nil
}
