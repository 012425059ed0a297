package api

import (
	"context"

	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// RevokeDocument implements POST /documents/{id}/revoke: rules D-1, D-2. The
// revocation needs no key.
func (v *Vault) RevokeDocument(ctx context.Context, r contract.RevokeDocumentRequestObject) (contract.RevokeDocumentResponseObject, error) {
	done, err := v.changeDocument(ctx, r.Params.IdempotencyKey, r.DocumentID, acting.Documents.TransactReserved, func(_ context.Context, in acting.Intent, _ document.State) (documentCommand, error) {
		return document.Revoke{
			Expected: expectation(r.Params.IfMatch), Reason: r.Body.Reason, EffectiveFrom: r.Body.EffectiveFrom, By: in.Actor, At: in.At,
		}, in.Reason(registry.ReasonRevocation, r.Body.Reason)
	})
	if err != nil {
		return nil, err
	}
	return contract.RevokeDocument200JSONResponse{Body: done.Receipt, Headers: contract.RevokeDocument200ResponseHeaders{CoffrePosition: done.At, ETag: edge.ETag(done.Receipt.Version)}}, nil
}
