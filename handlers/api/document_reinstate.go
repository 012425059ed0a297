package api

import (
	"context"

	"coffre/domain/document"
	"coffre/domain/registry"
)

// ReinstateDocument implements POST /documents/{id}/reinstate: rules D-1, D-2.
func (v *Vault) ReinstateDocument(ctx context.Context, r ReinstateDocumentRequestObject) (ReinstateDocumentResponseObject, error) {
	done, err := v.changeDocument(ctx, r.Params.IdempotencyKey, r.DocumentID, documents.Transact, func(_ context.Context, in intent, _ document.State) (documentCommand, error) {
		return document.Reinstate{Expected: versionOf(r.Params.IfMatch), Reason: r.Body.Reason, By: in.actor, At: in.at},
			in.reason(registry.ReasonReinstatement, r.Body.Reason)
	})
	if err != nil {
		return nil, err
	}
	return ReinstateDocument200JSONResponse{done.Receipt, ReinstateDocument200ResponseHeaders{done.At, etag(done.Receipt.Version)}}, nil
}
