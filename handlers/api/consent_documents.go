package api

import (
	"context"
	"errors"
	"slices"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
)

// ListConsentDocuments implements GET /consents/{id}/documents: the documents that a consumer
// could read now under a consent, in the order of issue, so that it learns their ids on the
// way of consent. The basis is judged before anything that is held (rule A-6), whom it is about
// counts for the quota, and what is told is on record before. No use is counted.
func (v *Vault) ListConsentDocuments(ctx context.Context, r contract.ListConsentDocumentsRequestObject) (contract.ListConsentDocumentsResponseObject, error) {
	if err := v.WaitForToken(ctx, r.Params.CoffreMinPosition, v.Evidence.Name()); err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	path := contract.ConsentDocumentsHref(r.ConsentID)
	from, err := v.LeafFrom(path, r.Params.After, -1)
	if err != nil {
		return nil, err
	}
	if err := v.CheckRefusals(ctx, in); err != nil {
		return nil, err
	}
	reading := disclosure.Reading{Basis: disclosure.Basis{Consent: &r.ConsentID}, Access: domain.AccessID{UUID: v.NewID()}}
	f, err := v.LoadFindings(ctx, reading)
	if err != nil {
		return nil, err
	}
	reading.Purpose = f.Consent.Terms.Purpose
	covered, err := v.coveredTypes(ctx, in, reading, f)
	if err != nil {
		return nil, v.QueueRefusal(in, reading.AsRefused(f), err)
	}
	if err := v.ClaimQuota(ctx, in, f.Citizen.ID); err != nil {
		return nil, v.QueueRefusal(in, reading.AsRefused(f), err)
	}
	page := contract.ConsentDocuments{Items: []contract.ConsentDocument{}, PageSize: edge.PageSize(r.Params.PageSize)}
	links := edge.LinksTo(path).Number("pageSize", r.Params.PageSize)
	page.Self = links.At(r.Params.After)
	held, err := v.Evidence.Held(ctx, f.Citizen.ID, projections.Latest, covered...)
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		if named := f.Consent.Terms.Documents; h.IssuedLeaf <= from || len(named) > 0 && !slices.Contains(named, h.Document) {
			continue
		}
		one := reading
		one.Document = h.Document
		item, readable, err := v.readableDocument(ctx, in, one)
		switch {
		case err != nil:
			return nil, v.QueueRefusal(in, one.AsRefused(f), err)
		case !readable:
			continue
		case len(page.Items) == page.PageSize:
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
		}
		if page.Next != "" {
			break
		}
		page.Items, from = append(page.Items, item), h.IssuedLeaf
	}
	told, err := v.recordDocumentsTold(ctx, in, reading, f, covered, page.Items)
	if err != nil {
		return nil, err
	}
	v.RecordOnceAnswered(in, told)
	return contract.ListConsentDocuments200JSONResponse(page), nil
}

// coveredTypes returns the types of document of which a consent covers something now. It
// refuses where the consent allows nothing: it is not the caller's, is not answered, has ended.
func (v *Vault) coveredTypes(ctx context.Context, in acting.Intent, r disclosure.Reading, f disclosure.Findings) ([]domain.DocumentType, error) {
	if f.Consent.Phase == consent.None || f.Consent.Phase == consent.IsRequested || f.Consent.Terms.Consumer != in.Actor.Organisation {
		return nil, access.ErrNoBasis
	}
	switch f.Citizen.Standing {
	case citizen.Dead:
		return nil, consent.ErrWithdrawn
	case citizen.Erasing, citizen.Erased:
		return nil, access.ErrDocumentGone
	}
	types, err := v.typesOfTerms(ctx, f.Consent.Terms)
	if err != nil {
		return nil, err
	}
	var covered []domain.DocumentType
	for _, t := range types {
		if slices.Contains(covered, t) {
			continue
		}
		r.DocumentType = t
		_, err := v.EstablishBasis(ctx, in, r)
		switch {
		case errors.Is(err, access.ErrNotCovered): // by none of the fields
		case err != nil:
			return nil, err
		default:
			covered = append(covered, t)
		}
	}
	if len(covered) == 0 {
		return nil, access.ErrNotCovered
	}
	return covered, nil
}

// readableDocument judges whether a document could be read now, without recording it, and
// returns it as it is listed. One that cannot be read for what it is, is left out; that the
// consent allows no reading at all is an error.
func (v *Vault) readableDocument(ctx context.Context, in acting.Intent, r disclosure.Reading) (item contract.ConsentDocument, readable bool, err error) {
	f, err := v.EstablishBasis(ctx, in, r)
	if err == nil {
		err = r.Check(in, f)
	}
	switch {
	case errors.Is(err, access.ErrRestricted): // to leave it out would be untrue
		return item, false, err
	case errors.Is(err, access.ErrNoBasis), errors.Is(err, access.ErrNotCovered), errors.Is(err, access.ErrDocumentGone),
		errors.Is(err, document.ErrRevoked), errors.Is(err, access.ErrSuspended):
		return item, false, nil
	case err != nil:
		return item, false, err
	}
	s, today := f.Document.State, domain.BelgianDate(in.At)
	return contract.ConsentDocument{
		Href: contract.DocumentHref(s.Document), DocumentID: s.Document, DocumentType: s.Type, Issuer: s.Issuer,
		Version: s.VersionAt(today), State: contract.DocumentState(s.StatusAt(today)),
	}, true, nil
}

// recordDocumentsTold records which documents a page lists, and of which types it lists none
// (rule A-10), and judges the consent again.
func (v *Vault) recordDocumentsTold(ctx context.Context, in acting.Intent, r disclosure.Reading, f disclosure.Findings, types []domain.DocumentType, items []contract.ConsentDocument) (access.Authorized, error) {
	var answers []access.Answer
	for _, t := range types {
		none := true
		for _, item := range items {
			if item.DocumentType == t {
				none = false
				answers = append(answers, access.Answer{Type: t, Presence: presenceOf(item.State), Document: item.DocumentID, Version: item.Version})
			}
		}
		if none {
			answers = append(answers, access.Answer{Type: t, Presence: access.NotHeld})
		}
	}
	told, err := v.RecordTold(ctx, in, r, f.Citizen.ID, answers)
	if err != nil {
		return access.Authorized{}, err
	}
	r.DocumentType = types[0]
	if _, err := v.EstablishBasis(ctx, v.Renew(in), r); err != nil {
		return access.Authorized{}, v.Withhold(ctx, in, told, err)
	}
	return told, nil
}

// presenceOf returns the state of a document that may be read as what is told of it.
func presenceOf(s contract.DocumentState) access.Presence {
	switch s {
	case contract.DocumentStateNotYetValid:
		return access.NotYetValid
	case contract.DocumentStateExpired:
		return access.Expired
	}
	return access.Held
}
