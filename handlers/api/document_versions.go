package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/contract"
)

// GetDocumentVersions implements GET /documents/{id}/versions, oldest first.
func (v *Vault) GetDocumentVersions(ctx context.Context, r contract.GetDocumentVersionsRequestObject) (contract.GetDocumentVersionsResponseObject, error) {
	in := v.intend(ctx)
	d, err := v.view(ctx, in, r.DocumentID, viewing{asIssuer: access.OpenedVersions, asRepresentative: access.OpenedVersions})
	if err != nil {
		return nil, err
	}
	answer := contract.DocumentVersions{
		Self: documentHref(r.DocumentID) + "/versions", DocumentID: r.DocumentID,
		State: contract.DocumentState(d.state.StatusAt(domain.BelgianDate(in.at))), Items: []contract.DocumentVersionItem{},
	}
	if r.Params.Version != 0 {
		answer.Self = versionHref(r.DocumentID, r.Params.Version)
	}
	for version := 1; version <= len(d.contents); version++ {
		if r.Params.Version != 0 && r.Params.Version != version {
			continue
		}
		item, err := v.versionItem(ctx, d.attested, version)
		if err != nil {
			v.told(in, d.authorized, access.Failed, err)
			return nil, err
		}
		answer.Items = append(answer.Items, item)
	}
	v.recordOnceAnswered(in, d.authorized)
	return contract.GetDocumentVersions200JSONResponse(answer), nil
}
