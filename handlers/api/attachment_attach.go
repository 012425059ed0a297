package api

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/projections/wallet"
)

// Files become part of a document in four steps: the issuer is checked to own them
// (checkFileOwner, before anybody is registered), they are reserved for this document alone
// (reserveFiles), the event that holds their keys becomes durable, they are claimed
// (claimFiles), which destroys the only other copy of each key. A process that ends between
// two steps leaves files that tidyFiles settles.

var errUnknownFile = domain.NewError(domain.Invalid, "unknownAttachment", "an attachment was not uploaded by you, was removed because no document named it in time, or is part of another document")

// checkFileOwner refuses files that the calling issuer did not upload.
func (v *Vault) checkFileOwner(ctx context.Context, in acting.Intent, names []domain.AttachmentID) error {
	err := v.Keys.Files().Own(ctx, in.Actor.Organisation, names)
	if errors.Is(err, seal.ErrUnknown) {
		return errUnknownFile
	}
	return err
}

// reserveFiles reserves the files that a document is about to name and returns them with
// their keys, as the event has to hold them. Files that the document names already come from
// its own events.
func (v *Vault) reserveFiles(ctx context.Context, in acting.Intent, id domain.DocumentID, names []domain.AttachmentID) ([]document.Attachment, error) {
	if len(names) == 0 {
		return nil, nil
	}
	files, err := v.Keys.Files().Reserve(ctx, in.Actor.Organisation, acting.DocumentStream(id), names)
	if errors.Is(err, seal.ErrUnknown) {
		return nil, errUnknownFile
	} else if err != nil {
		return nil, err
	}
	var has disclosure.LoadedDocument
	all := make([]document.Attachment, len(files))
	for i, f := range files {
		all[i] = document.Attachment{ID: f.ID, Type: document.MediaType(f.Type), Size: f.Size, Digest: f.Digest, Key: f.Key}
		if f.Key != nil {
			continue
		}
		if has.ContentEvents == nil {
			if has, err = v.LoadDocument(ctx, id); err != nil {
				return nil, err
			}
		}
		if all[i], err = v.FindAttachment(ctx, has, has.State.VersionNaming(f.ID), f.ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// contentTagInput returns the bytes that a content tag covers: the content and the type and
// SHA-256 of each file, so that another file is another content (rule D-4).
func contentTagInput(content domain.JSON, files []document.Attachment) []byte {
	out := slices.Clip([]byte(content))
	for _, f := range files {
		out = append(append(append(append(out, 0), f.Type...), 0), f.Digest...) // no zero byte stands in JSON
	}
	return out
}

// claimFiles destroys the other copy of the keys of files whose event is durable. A failure
// is logged and made up for later: the document is issued all the same.
func (v *Vault) claimFiles(ctx context.Context, s document.State, names []domain.AttachmentID) {
	held := slices.DeleteFunc(slices.Clone(names), func(id domain.AttachmentID) bool { return !s.Names(id) })
	if len(held) == 0 {
		return
	}
	if err := v.ClaimFiles(ctx, acting.DocumentStream(s.Document), held); err != nil {
		v.Slog.WarnContext(ctx, "files are claimed later", slog.Any("error", err))
	}
}

// attestAndClaim returns attest followed by the claim of the files that an update names.
func (v *Vault) attestAndClaim(names []domain.AttachmentID) documentAppend {
	return func(ctx context.Context, l *eventstore.Log, w eventstore.Write, cmd documentCommand) (eventstore.Result[document.State, document.Event], error) {
		result, err := v.attest(ctx, l, w, cmd)
		if result.State.Exists() { // the update is recorded, even when an erasure refuses it
			v.claimFiles(ctx, result.State, names)
		}
		return result, err
	}
}

// attachmentItems lists files without their keys.
func attachmentItems(id domain.DocumentID, files []document.Attachment) []contract.Attachment {
	var all []contract.Attachment
	for _, f := range files {
		all = append(all, contract.Attachment{Href: contract.AttachmentHref(id, f.ID), AttachmentID: f.ID, MediaType: string(f.Type), Size: f.Size})
	}
	return all
}

// writeAttachments writes the list of a document's files.
func (p *walletPage) writeAttachments(d *wallet.Document, part personalPart) {
	if len(part.attachments) == 0 {
		return
	}
	p.out = append(p.out, `,"attachments":[`...)
	for i, f := range part.attachments {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		p.out = append(p.out, `{"href":"`...)
		p.out = append(p.out, contract.AttachmentHref(d.Document, f.ID)...)
		p.out = append(p.out, `","attachmentId":"`...)
		p.writeID(f.ID.UUID)
		p.out = append(p.out, '"')
		p.writeMember("mediaType", string(f.Type))
		p.out = append(p.out, `,"size":`...)
		p.out = append(strconv.AppendInt(p.out, f.Size, 10), '}')
	}
	p.out = append(p.out, ']')
}
