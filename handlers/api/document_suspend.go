package api

import (
	"context"

	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// SuspendDocument implements POST /documents/{id}/suspend: rules D-1, D-2. The
// suspension needs no key.
func (v *Vault) SuspendDocument(ctx context.Context, r contract.SuspendDocumentRequestObject) (contract.SuspendDocumentResponseObject, error) {
	done, err := v.changeDocument(ctx, r.Params.IdempotencyKey, r.DocumentID, acting.Documents.TransactReserved, func(_ context.Context, in acting.Intent, _ document.State) (documentCommand, error) {
		return document.Suspend{Expected: expectation(r.Params.IfMatch), Reason: r.Body.Reason, By: in.Actor, At: in.At},
			in.Reason(registry.ReasonSuspension, r.Body.Reason)
	})
	if err != nil {
		return nil, err
	}
	return contract.SuspendDocument200JSONResponse{Body: done.Receipt, Headers: contract.SuspendDocument200ResponseHeaders{CoffrePosition: done.At, ETag: edge.ETag(done.Receipt.Version)}}, nil
}
