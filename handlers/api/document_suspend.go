package api

import (
	"context"

	"coffre/domain/document"
	"coffre/domain/registry"
)

// SuspendDocument implements POST /documents/{id}/suspend: rules D-1, D-2. It
// needs no key.
func (v *Vault) SuspendDocument(ctx context.Context, r SuspendDocumentRequestObject) (SuspendDocumentResponseObject, error) {
	done, err := v.changeDocument(ctx, r.Params.IdempotencyKey, r.DocumentID, documents.TransactReserved, func(_ context.Context, in intent, _ document.State) (documentCommand, error) {
		return document.Suspend{Expected: versionOf(r.Params.IfMatch), Reason: r.Body.Reason, By: in.actor, At: in.at},
			in.reason(registry.ReasonSuspension, r.Body.Reason)
	})
	if err != nil {
		return nil, err
	}
	return SuspendDocument200JSONResponse{done.Receipt, SuspendDocument200ResponseHeaders{done.At, etag(done.Receipt.Version)}}, nil
}
