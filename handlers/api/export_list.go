package api

import (
	"context"
	"slices"

	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// ListExports implements GET /exports: the exports that are kept, oldest first. Any privacy
// officer may follow the export of another.
func (v *Vault) ListExports(ctx context.Context, r contract.ListExportsRequestObject) (contract.ListExportsResponseObject, error) {
	p, path := r.Params, contract.Base+"/exports"
	from, err := v.LeafFrom(path, p.After, -1) // here a moment, in microseconds
	if err != nil {
		return nil, err
	}
	all, err := v.Exports(ctx)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Texts("state", edge.AsStrings(p.State)).Number("pageSize", p.PageSize)
	page := contract.ExportList{Self: links.At(p.After), Items: []contract.Export{}, PageSize: edge.PageSize(p.PageSize)}
	for _, m := range all {
		asked := m.Created.UnixMicro()
		if asked <= from && len(page.Items) == 0 || len(p.State) > 0 && !slices.Contains(p.State, m.State) {
			continue
		}
		if len(page.Items) >= page.PageSize && asked != from { // those of one moment stay together
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, v.exportItem(m)), asked
	}
	return contract.ListExports200JSONResponse(page), nil
}
