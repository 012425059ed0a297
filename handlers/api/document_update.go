package api

import (
	"context"

	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// UpdateDocument implements POST /documents/{id}/update: rules D-1, D-3, D-5, D-6.
func (v *Vault) UpdateDocument(ctx context.Context, r contract.UpdateDocumentRequestObject) (contract.UpdateDocumentResponseObject, error) {
	done, err := v.changeDocument(ctx, r.Params.IdempotencyKey, r.DocumentID, v.attestAndClaim(r.Body.Attachments), func(ctx context.Context, in acting.Intent, s document.State) (documentCommand, error) {
		if err := in.Reason(registry.ReasonUpdate, r.Body.Reason); err != nil {
			return nil, err
		}
		content, err := checkContent(in, s.Type, r.Body.Content)
		if err != nil {
			return nil, err
		}
		subject, err := v.LoadPerson(ctx, s.Citizen)
		if err != nil {
			return nil, err
		}
		if err := subject.Standing.Writable(); err != nil { // before files are judged and keys made
			return nil, err
		}
		if err := v.checkFileOwner(ctx, in, r.Body.Attachments); err != nil {
			return nil, err
		}
		files, err := v.reserveFiles(ctx, in, r.DocumentID, r.Body.Attachments)
		if err != nil {
			return nil, err
		}
		tag, err := v.Keys.ContentTag(ctx, s.Citizen, contentTagInput(content, files))
		return document.Update{
			Expected: expectation(r.Params.IfMatch), Reason: r.Body.Reason, EffectiveFrom: r.Body.EffectiveFrom,
			ValidFrom: r.Body.ValidFrom, ValidUntil: r.Body.ValidUntil, Content: content, Attachments: files, Tag: tag, By: in.Actor, At: in.At,
		}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.UpdateDocument200JSONResponse{Body: done.Receipt, Headers: contract.UpdateDocument200ResponseHeaders{CoffrePosition: done.At, ETag: edge.ETag(done.Receipt.Version)}}, nil
}

// attest appends the event that gives a document other content, and refuses it all the same
// when an erasure started meanwhile (rule E-4).
func (v *Vault) attest(ctx context.Context, l *eventstore.Log, w eventstore.Write, c documentCommand) (eventstore.Result[document.State, document.Event], error) {
	result, err := acting.Documents.Transact(ctx, l, w, c)
	if err == nil {
		err = v.CheckErasureNotStarted(ctx, result.State.Citizen, result.State.Document)
	}
	return result, err
}
