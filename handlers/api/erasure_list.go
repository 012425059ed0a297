package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// ListErasures implements GET /erasures: every request to be forgotten, oldest first, so that a
// second person finds those that wait for an approval. A privacy officer's look is recorded
// first.
func (v *Vault) ListErasures(ctx context.Context, r contract.ListErasuresRequestObject) (contract.ListErasuresResponseObject, error) {
	p, path := r.Params, contract.Base+"/erasures"
	from, err := v.beginList(ctx, v.Erasures, p.CoffreMinPosition, path, p.After, audit.Operate{Act: audit.ListErasures})
	if err != nil {
		return nil, err
	}
	states := make([]erasures.State, len(p.State))
	for i, s := range p.State {
		states[i] = erasures.State(s)
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.Erasures.Page(ctx, states, from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Texts("state", edge.AsStrings(p.State)).Number("pageSize", p.PageSize)
	page := contract.Erasures{Self: links.At(p.After), Items: []contract.Erasure{}, PageSize: size}
	for _, e := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, erasureItem(e)), e.FirstLeaf
	}
	return contract.ListErasures200JSONResponse(page), nil
}
