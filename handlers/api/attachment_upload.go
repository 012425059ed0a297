package api

import (
	"context"
	"errors"

	"coffre/domain"
	"coffre/eventstore/blob"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// uploadAnswer is the stored answer to POST /attachments.
type uploadAnswer struct{ Receipt contract.AttachmentReceipt }

// UploadAttachment implements POST /attachments: the file is sealed and stored while it
// comes in. A repetition is known only at the end of the file, for the digest is part of the
// request; the bytes that it stored a second time are removed.
func (v *Vault) UploadAttachment(ctx context.Context, r contract.UploadAttachmentRequestObject) (contract.UploadAttachmentResponseObject, error) {
	call := edge.CallFrom(ctx)
	body, kind, err := typedFile(r.Body, edge.MediaTypeOf(r.ContentType))
	if err != nil {
		return nil, err
	}
	id := domain.AttachmentID{UUID: v.NewID()}
	if err := v.Take(ctx, call, &acting.Uploads, acting.Room{ID: id.UUID, Bytes: call.Length}); err != nil {
		return nil, err
	}
	// The key is durable before anything is sealed with it, so that tidyFiles finds the
	// file whenever this process ends.
	key, err := v.Keys.Files().Make(ctx, id, call.Organisation, string(kind))
	if err != nil {
		v.Free(&acting.Uploads, id.UUID)
		return nil, err
	}
	defer clear(key)
	file := inspect(body, kind)
	defer file.close()
	sealed, err := seal.SealFile(key, file)
	if err == nil {
		err = v.Blobs.Put(ctx, id.UUID, sealed, seal.SealedFileSize(call.Length))
	}
	switch {
	case file.refused != nil:
		err = file.refused
	case errors.Is(err, blob.ErrSize):
		err = cutOffBody(err)
	}
	if err != nil {
		v.DiscardUpload(ctx, id)
		return nil, err
	}
	call.Body = file.sum.Sum(nil)
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (uploadAnswer, error) {
		err := v.Keys.Files().Keep(ctx, seal.File{ID: id, Issuer: call.Organisation, Type: string(kind), Size: file.size, Key: key, Digest: call.Body})
		return uploadAnswer{contract.AttachmentReceipt{AttachmentID: id, MediaType: string(kind), Size: file.size, KeptUntil: in.At.Add(work.UnclaimedFileLifetime)}}, err
	})
	if err != nil && !acting.MayHaveWritten(err) || err == nil && done.Receipt.AttachmentID != id {
		v.DiscardUpload(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return contract.UploadAttachment201JSONResponse(done.Receipt), nil
}
