package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// GetDocumentVersions implements GET /documents/{id}/versions, oldest first.
func (v *Vault) GetDocumentVersions(ctx context.Context, r contract.GetDocumentVersionsRequestObject) (contract.GetDocumentVersionsResponseObject, error) {
	in := v.NewIntent(ctx)
	d, err := v.View(ctx, in, r.DocumentID, disclosure.Viewing{AsIssuer: access.OpenedVersions, AsRepresentative: access.OpenedVersions, Version: r.Params.Version})
	if err != nil {
		return nil, err
	}
	answer := contract.DocumentVersions{
		Self: contract.DocumentHref(r.DocumentID) + "/versions", DocumentID: r.DocumentID,
		State: contract.DocumentState(d.State.StatusAt(domain.BelgianDate(in.At))), Items: []contract.DocumentVersionItem{},
	}
	if r.Params.Version != 0 {
		answer.Self = contract.VersionHref(r.DocumentID, r.Params.Version)
	}
	for version := 1; version <= d.Version; version++ {
		if r.Params.Version != 0 && r.Params.Version != version {
			continue
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
