package api

import (
	"context"

	"coffre/domain/access"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// GetDocumentVersions implements GET /documents/{id}/versions, oldest first, page by page; each page is an
// access of its own.
func (v *Vault) GetDocumentVersions(ctx context.Context, r contract.GetDocumentVersionsRequestObject) (contract.GetDocumentVersionsResponseObject, error) {
	p, path := r.Params, contract.DocumentHref(r.DocumentID)+"/versions"
	shown, err := v.LeafFrom(path, p.After, 0) // here the last version of the page before
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	d, known, err := v.viewKnown(ctx, in, r.DocumentID, disclosure.Viewing{AsIssuer: access.OpenedVersions, AsRepresentative: access.OpenedVersions, Version: p.Version}, p.AsOf, p.ValidAt)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Number("version", int32(p.Version)).Time("asOf", p.AsOf).Text("validAt", string(p.ValidAt)).Number("pageSize", p.PageSize)
	answer := contract.DocumentVersions{
		Self: links.At(p.After), DocumentID: r.DocumentID, PageSize: edge.PageSize(p.PageSize),
		State: contract.DocumentState(d.State.StatusAt(known.day)), Items: []contract.DocumentVersionItem{},
	}
	for version := int(shown) + 1; version <= d.Version; version++ {
		if p.Version != 0 && p.Version != version {
			continue
		}
		if len(answer.Items) == answer.PageSize {
			answer.Next, answer.NextCursor = links.Next(v.Cursor(path, int64(version-1)))
			break
		}
		item, err := v.versionItem(ctx, d.LoadedDocument, version)
		if err != nil {
			v.QueueOutcome(in, d.Authorized, access.Failed, err)
			return nil, err
		}
		answer.Items = append(answer.Items, item)
	}
	v.RecordOnceAnswered(in, d.Authorized)
	return contract.GetDocumentVersions200JSONResponse(answer), nil
}
