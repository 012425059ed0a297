package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore/blob"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// unclaimedFor is how long a file waits for a document to name it.
const unclaimedFor = 24 * time.Hour

// uploaded is what is kept of an answer to POST /attachments.
type uploaded struct{ Receipt contract.AttachmentReceipt }

// UploadAttachment implements POST /attachments: the file is sealed and stored while
// it comes in. Whether the request is a repetition shows only at its end, for a key
// names the file; then what was stored a second time is dropped.
func (v *Vault) UploadAttachment(ctx context.Context, r contract.UploadAttachmentRequestObject) (contract.UploadAttachmentResponseObject, error) {
	call := edge.CallFrom(ctx)
	id, kind := domain.AttachmentID{UUID: v.NewID()}, document.MediaType(edge.MediaTypeOf(r.ContentType))
	// Durable before anything is sealed with it; from here on nothing is left over for
	// ever, whenever this process ends.
	key, err := v.Keys.Files().Make(ctx, id, call.Organisation, string(kind))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	file := inspect(r.Body, kind)
	defer file.close()
	sealed, err := seal.SealFile(key, file)
	if err == nil {
		err = v.Blobs.Put(ctx, id.UUID, sealed, seal.SealedFileSize(call.Length))
	}
	switch {
	case file.refused != nil:
		err = file.refused
	case errors.Is(err, blob.ErrSize):
		err = brokenOff(err)
	}
	if err != nil {
		v.drop(ctx, id)
		return nil, err
	}
	call.Body = file.sum.Sum(nil)
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (uploaded, error) {
		err := v.Keys.Files().Keep(ctx, seal.File{ID: id, Issuer: call.Organisation, Type: string(kind), Size: file.size, Key: key, Digest: call.Body})
		return uploaded{contract.AttachmentReceipt{AttachmentID: id, MediaType: string(kind), Size: file.size, KeptUntil: in.at.Add(unclaimedFor)}}, err
	})
	if err != nil && !undecided(err) || err == nil && done.Receipt.AttachmentID != id {
		v.drop(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return contract.UploadAttachment201JSONResponse(done.Receipt), nil
}

// dropWithin bounds what is done about a file whose upload came to nothing; what it
// leaves undone, [Vault.tidyFiles] does a day later.
const dropWithin = 5 * time.Second

// drop removes a file whose upload came to nothing, also when its caller has left.
func (v *Vault) drop(ctx context.Context, id domain.AttachmentID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
	defer cancel()
	err := v.Keys.Files().Doom(ctx, id)
	if err == nil {
		err = v.removeFile(ctx, id)
	}
	if err != nil {
		v.Slog.WarnContext(ctx, "a file that nobody wants is removed later", slog.Any("error", err))
	}
}

// removeFile removes the bytes of a doomed file, and then the last trace of it.
func (v *Vault) removeFile(ctx context.Context, id domain.AttachmentID) error {
	if err := v.Blobs.Delete(ctx, id.UUID); err != nil {
		return fmt.Errorf("remove a file: %w", err)
	}
	return v.Keys.Files().Forget(ctx, id)
}

const (
	// filesAtOnce bounds what one look at the key ring brings.
	filesAtOnce = 100
	// reservedFor is after how long a reservation that no event followed is no request's
	// any more.
	reservedFor = 2 * edge.MaxTime
)

// tidyFiles settles what requests and processes that ended early left: reservations
// become claims where the log has the event; files that no document names in time,
// and those of erased documents, are removed.
func (v *Vault) tidyFiles(ctx context.Context) error {
	return errors.Join(v.settleReservations(ctx), v.Keys.Files().DoomStale(ctx, v.Now().Add(-unclaimedFor)), v.removeDoomed(ctx))
}

func (v *Vault) settleReservations(ctx context.Context) error {
	before := v.Now().Add(-reservedFor)
	for {
		held, err := v.Keys.Files().Reserved(ctx, before, filesAtOnce)
		if err != nil || len(held) == 0 {
			return err
		}
		for _, f := range held {
			state, _, err := documents.Load(ctx, v.Log, f.Stream)
			if err != nil {
				return err
			}
			if state.Names(f.ID) {
				err = v.Keys.Files().Claim(ctx, f.Stream, []domain.AttachmentID{f.ID})
			} else {
				err = v.Keys.Files().Release(ctx, f, before)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (v *Vault) removeDoomed(ctx context.Context) error {
	for {
		doomed, err := v.Keys.Files().Doomed(ctx, filesAtOnce)
		if err != nil || len(doomed) == 0 {
			return err
		}
		for _, id := range doomed {
			if err := v.removeFile(ctx, id); err != nil {
				return err
			}
		}
	}
}
