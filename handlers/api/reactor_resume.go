package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
)

// ResumeReactor implements POST /reactors/{name}/resume.
func (v *Vault) ResumeReactor(ctx context.Context, r contract.ResumeReactorRequestObject) (contract.ResumeReactorResponseObject, error) {
	item, err := v.operateReactor(ctx, r.Params.IdempotencyKey, audit.ResumeReactor, r.ReactorName, r.Body.Reason, Reactors.Resume)
	if err != nil {
		return nil, err
	}
	return contract.ResumeReactor200JSONResponse(item), nil
}
