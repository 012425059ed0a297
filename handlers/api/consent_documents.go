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
		return nil, v.QueueRefusal(in, reading.AsRefused(in, f), err)
	}
	if err := v.ClaimQuota(ctx, in, f.Citizen.ID); err != nil {
		return nil, v.QueueRefusal(in, reading.AsRefused(in, f), err)
	}
	page := contract.ConsentDocuments{Items: []contract.ConsentDocument{}, PageSize: edge.PageSize(r.Params.PageSize)}
	links := edge.LinksTo(path).Number("pageSize", r.Params.PageSize)
	page.Self = links.At(r.Params.After)
	held, err := v.heldBy(ctx, f.Citizen.ID, covered...)
	if err != nil {
		return nil, err
	}
	var answers []access.Answer                        // for what the page lists
	leftOut := map[domain.DocumentType]access.Answer{} // what the person has and nobody may read
	listed := map[domain.DocumentType]bool{}           // on this page or another
	restricted := reading.Restricted(in, f, domain.DocumentID{})
	for _, h := range held {
		if named := f.Consent.Terms.Documents; len(named) > 0 && !slices.Contains(named, h.Document) {
			continue
		}
		if reading.Restricted(in, f, h.Document) { // not held for this consumer (rule P-5)
			restricted = true
			continue
		}
		if h.IssuedLeaf <= from {
			listed[h.Type] = true
			continue
		}
		one := reading
		one.Document = h.Document
		item, answer, err := v.readableDocument(ctx, in, one)
		switch {
		case err != nil:
			return nil, v.QueueRefusal(in, one.AsRefused(in, f), err)
		case item == nil && answer.Presence != access.NotHeld:
			leftOut[h.Type] = answer
			continue
		case item == nil:
			continue
		}
		listed[h.Type] = true
		if len(page.Items) == page.PageSize {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, answers, from = append(page.Items, *item), append(answers, answer), h.IssuedLeaf
	}
	for _, t := range covered {
		if last, ok := leftOut[t]; ok && !listed[t] {
			answers = append(answers, last)
		} else if !listed[t] && page.Next == "" {
			answers = append(answers, access.Answer{Type: t, Presence: access.NotHeld})
		}
	}
	if len(answers) == 0 { // all that came before is gone by now
		answers = append(answers, access.Answer{Type: covered[0], Presence: access.NotHeld})
	}
	if restricted {
		if err := v.QueueRestricted(in, reading.AsRefused(in, f)); err != nil {
			return nil, err
		}
	}
	told, err := v.recordDocumentsTold(ctx, in, reading, f, covered[0], answers)
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
// returns it as it is listed, and what of it is told. One that cannot be read for what it is,
// is left out: item is nil, and the answer says that it is revoked, suspended, or for this
// consent not held. That the consent allows no reading at all is an error.
func (v *Vault) readableDocument(ctx context.Context, in acting.Intent, r disclosure.Reading) (item *contract.ConsentDocument, of access.Answer, err error) {
	f, err := v.EstablishBasis(ctx, in, r)
	if err == nil {
		err = r.Check(in, f)
	}
	s, today := f.Document.State, domain.BelgianDate(in.At)
	of = access.Answer{Type: s.Type, Document: s.Document, Version: s.VersionAt(today)}
	switch {
	case errors.Is(err, access.ErrNoBasis), errors.Is(err, access.ErrNotCovered):
		return nil, access.Answer{Type: s.Type, Presence: access.NotHeld}, nil
	case errors.Is(err, document.ErrRevoked):
		of.Presence = access.Revoked
		return nil, of, nil
	case errors.Is(err, access.ErrSuspended):
		of.Presence = access.Suspended
		return nil, of, nil
	case err != nil:
		return nil, of, err
	}
	item = &contract.ConsentDocument{
		Href: contract.DocumentHref(s.Document), DocumentID: s.Document, DocumentType: s.Type, Issuer: s.Issuer,
		Version: of.Version, State: contract.DocumentState(s.StatusAt(today)),
	}
	of.Presence = presenceOf(item.State)
	return item, of, nil
}

// recordDocumentsTold records what a page tells (rule A-10), and judges the consent again for a
// type that it covers.
func (v *Vault) recordDocumentsTold(ctx context.Context, in acting.Intent, r disclosure.Reading, f disclosure.Findings, t domain.DocumentType, answers []access.Answer) (access.Authorized, error) {
	told, err := v.RecordTold(ctx, in, r, f, f.Citizen.ID, answers)
	if err != nil {
		return access.Authorized{}, err
	}
	r.DocumentType = t
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
