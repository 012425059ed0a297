package api

import (
	"context"

	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// ReinstateDocument implements POST /documents/{id}/reinstate: rules D-1, D-2.
func (v *Vault) ReinstateDocument(ctx context.Context, r contract.ReinstateDocumentRequestObject) (contract.ReinstateDocumentResponseObject, error) {
	done, err := v.changeDocument(ctx, r.Params.IdempotencyKey, r.DocumentID, acting.Documents.Transact, func(_ context.Context, in acting.Intent, _ document.State) (documentCommand, error) {
		return document.Reinstate{Expected: expectation(r.Params.IfMatch), Reason: r.Body.Reason, By: in.Actor, At: in.At},
			in.Reason(registry.ReasonReinstatement, r.Body.Reason)
	})
	if err != nil {
		return nil, err
	}
	return contract.ReinstateDocument200JSONResponse{Body: done.Receipt, Headers: contract.ReinstateDocument200ResponseHeaders{CoffrePosition: done.At, ETag: edge.ETag(done.Receipt.Version)}}, nil
}
