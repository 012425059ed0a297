package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// ListAttachments implements GET /attachments: uploaded files that no document names yet,
// oldest first. An issuer sees its own; an operator those of every issuer, and the look is
// recorded first.
func (v *Vault) ListAttachments(ctx context.Context, r contract.ListAttachmentsRequestObject) (contract.ListAttachmentsResponseObject, error) {
	p, path, call := r.Params, contract.Base+"/attachments", edge.CallFrom(ctx)
	from, err := v.LeafFrom(path, p.After, 0)
	if err != nil {
		return nil, err
	}
	issuer := call.Organisation
	if call.Role == domain.RoleOperator {
		issuer = ""
		if err := v.recordLook(ctx, v.NewIntent(ctx), audit.Operate{Act: audit.ListAttachments}); err != nil {
			return nil, err
		}
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.Keys.Files().Unclaimed(ctx, issuer, p.AttachmentID, from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.AddID(edge.LinksTo(path), "attachmentId", p.AttachmentID).Number("pageSize", p.PageSize)
	page := contract.UnclaimedAttachments{Self: links.At(p.After), Items: []contract.UnclaimedAttachment{}, PageSize: size}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, contract.UnclaimedAttachment{
			Href: contract.UnclaimedAttachmentHref(one.ID), AttachmentID: one.ID, Issuer: one.Issuer, MediaType: one.Type, Size: one.Size, UploadedAt: one.Made, KeptUntil: one.Made.Add(work.UnclaimedFileLifetime),
		}), one.Place
	}
	return contract.ListAttachments200JSONResponse(page), nil
}
