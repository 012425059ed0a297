package api

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/eventstore/requests"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// GetAttachment implements GET /documents/{id}/attachments/{attachmentId} for the
// document's issuer and its holders, with the steps of rule A-1.
func (v *Vault) GetAttachment(ctx context.Context, r contract.GetAttachmentRequestObject) (contract.GetAttachmentResponseObject, error) {
	in := v.NewIntent(ctx)
	d, err := v.View(ctx, in, r.DocumentID, disclosure.Viewing{AsIssuer: access.OpenedAttachment, AsRepresentative: access.OpenedAttachment, Attachment: &r.AttachmentID})
	if err != nil {
		return nil, err
	}
	file, err := v.FindAttachment(ctx, d.LoadedDocument, d.Version, r.AttachmentID)
	if err != nil {
		v.RecordFailed(in, d.Authorized, err)
		return nil, err
	}
	return v.OpenFileAnswer(ctx, in, d.Authorized, file, r.Params.Range, d.Recheck)
}

// AccessAttachment implements POST /documents/{id}/attachments/{attachmentId}/access:
// rules, for one file of the version that applies today.
func (v *Vault) AccessAttachment(ctx context.Context, r contract.AccessAttachmentRequestObject) (contract.AccessAttachmentResponseObject, error) {
	in := v.NewIntent(ctx)
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	if err := checkInvestigation(r.Body.InvestigationID, r.Body.ConsentID); err != nil {
		return nil, err
	}
	request := acting.RequestOf(in.Call, r.Params.IdempotencyKey)
	begun, err := v.Begin(ctx, request)
	if err != nil {
		return nil, err
	}
	b := r.Body
	d, err := v.Disclose(ctx, in, disclosure.Reading{
		Basis:    disclosure.Basis{Consent: b.ConsentID, LegalBasis: b.LegalBasis, Deliberation: b.Deliberation},
		Document: r.DocumentID, Attachment: &r.AttachmentID,
		Access:  domain.AccessID{UUID: requests.EventID(request.Owner, request.Operation, request.Key, 0)},
		Purpose: b.Purpose, Procedure: b.Procedure, CaseReference: b.CaseReference, Investigation: b.InvestigationID, Seen: begun.Standing == requests.Repeat,
	})
	if begun.Standing != requests.Repeat {
		if kept := v.settleRequestKey(begun.Claim, !d.Authorized.Access.IsZero(), err); kept != nil && err == nil {
			err = kept
		}
	}
	if err != nil {
		return nil, err
	}
	for _, f := range d.Files {
		if f.ID == r.AttachmentID {
			return v.OpenFileAnswer(ctx, in, d.Authorized, f, r.Params.Range, func(ctx context.Context) error {
				_, err := v.Revalidate(ctx, in, d.Reading, d.Findings, d.Authorized)
				return err
			})
		}
	}
	err = fmt.Errorf("version %d names a file that its personal part does not have", d.Authorized.Version)
	v.RecordFailed(in, d.Authorized, err)
	return nil, err
}
