package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
)

// ListCorrections implements GET /citizens/{id}/corrections: every correction that was
// proposed about a citizen, oldest first, with the case reference opened.
func (v *Vault) ListCorrections(ctx context.Context, r contract.ListCorrectionsRequestObject) (contract.ListCorrectionsResponseObject, error) {
	in := v.NewIntent(ctx)
	if err := v.recordLook(ctx, in, audit.Operate{Act: audit.ListCorrections, Citizen: r.CitizenID}); err != nil {
		return nil, err
	}
	all, err := v.Corrections(ctx, r.CitizenID)
	if err != nil {
		return nil, err
	}
	list := contract.Corrections{Self: contract.CorrectionsHref(r.CitizenID), Items: make([]contract.Correction, len(all))}
	for i, c := range all {
		list.Items[i] = correctionItem(in, r.CitizenID, c)
	}
	return contract.ListCorrections200JSONResponse(list), nil
}
