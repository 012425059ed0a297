package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// queryScanLimit bounds the documents that one call of POST /documents/query looks at, so
// that a narrow filter costs several short calls; the link next leads on.
const queryScanLimit = 1000

// QueryDocuments implements POST /documents/query: the documents of the calling issuer, in
// the order of issue. It opens the issuer's own references and nothing else; an erased
// document has none.
func (v *Vault) QueryDocuments(ctx context.Context, r contract.QueryDocumentsRequestObject) (contract.QueryDocumentsResponseObject, error) {
	call, p, q := edge.CallFrom(ctx), r.Params, r.Body
	in := v.NewIntent(ctx)
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.Wallets.Name()); err != nil {
		return nil, err
	}
	cursor, err := v.LeafFrom("queryDocuments", p.After, -1)
	if err != nil {
		return nil, err
	}
	if err := acting.CheckWords(in.TypeAt("documentType", q.DocumentType)); err != nil {
		return nil, err
	}
	filter := wallet.IssuedFilter{Type: q.DocumentType}
	links := edge.LinksTo(contract.Base+"/documents/query").Number("pageSize", p.PageSize)
	page := contract.HeldDocuments{Self: links.At(p.After), Items: []contract.HeldDocument{}, PageSize: edge.PageSize(p.PageSize)}
	if !q.SSIN.IsZero() || q.CitizenRef != nil {
		if err := v.CheckRefusals(ctx, in); err != nil {
			return nil, err
		}
		id, err := v.Resolve(ctx, call, q.SSIN, q.CitizenRef)
		if err != nil {
			return nil, err
		}
		if err := v.claimNamed(ctx, in, id, q.SSIN, q.CitizenRef); err != nil {
			return nil, err
		}
		person, err := v.LoadPerson(ctx, id)
		if err != nil {
			return nil, err
		}
		filter.Citizen = new(v.quotaSubject(id, q.SSIN, q.CitizenRef)) // of whom the vault does not know, none are found
		filter.Former = person.Lives[1:]
	}
	held, err := v.Wallets.IssuedBy(ctx, call.Organisation, projections.Latest, filter, cursor, queryScanLimit)
	if err != nil {
		return nil, err
	}
	streams := make([]eventstore.Stream, len(held))
	for i := range held {
		streams[i] = held[i].First.Stream
	}
	if err := v.Keys.PrefetchStreams(ctx, streams); err != nil && !errors.Is(err, eventstore.ErrErased) {
		return nil, err
	}
	today := domain.BelgianDate(v.Now())
	for i := range held {
		h := &held[i]
		if len(page.Items) == page.PageSize {
			page.Next, page.NextCursor = links.Next(v.Cursor("queryDocuments", cursor))
			break
		}
		cursor = h.IssuedLeaf
		if i == queryScanLimit-1 {
			page.Next, page.NextCursor = links.Next(v.Cursor("queryDocuments", cursor))
		}
		state := heldState(&h.Document, today)
		if len(q.State) > 0 && !slices.Contains(q.State, state) || q.ChangedFrom != nil && h.ChangedAt.Before(*q.ChangedFrom) {
			continue
		}
		item, err := v.heldItem(ctx, call, h, state)
		if err != nil {
			return nil, err
		}
		if len(q.SourceReference) == 0 || slices.Contains(q.SourceReference, item.SourceReference) {
			page.Items = append(page.Items, item)
		}
	}
	return contract.QueryDocuments200JSONResponse(page), nil
}

func (v *Vault) heldItem(ctx context.Context, call *edge.Call, h *wallet.Issued, state contract.DocumentState) (contract.HeldDocument, error) {
	ref, err := v.Keys.Ref(ctx, call.Organisation, h.Citizen)
	if err != nil && !errors.Is(err, eventstore.ErrErased) {
		return contract.HeldDocument{}, err
	}
	item := contract.HeldDocument{
		Href: contract.DocumentHref(h.Document.Document), DocumentID: h.Document.Document, CitizenRef: ref, DocumentType: h.Type,
		Version: h.Version, State: state, IssuedAt: h.IssuedAt, ChangedAt: h.ChangedAt,
	}
	if h.FirstSealed == nil {
		return item, nil
	}
	first, err := disclosure.OpenSealedPart[document.Issued](ctx, v.Discloser, h.First, h.FirstSealed)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		return item, nil
	case err != nil:
		return contract.HeldDocument{}, err
	case first.Personal == nil:
		return contract.HeldDocument{}, fmt.Errorf("%s is no issue of a document", h.First.Type)
	}
	item.SourceReference = first.Personal.SourceReference
	return item, nil
}

// heldState returns a document's state on a day by the clear facts of its row: where the
// dates are sealed, a document that was neither revoked nor suspended counts as valid.
func heldState(d *wallet.Document, today domain.Date) contract.DocumentState {
	switch {
	case d.Destroyed:
		return contract.DocumentStateErased
	case d.State == wallet.Revoked && !today.Before(d.RevokedFrom):
		return contract.DocumentStateRevoked
	case d.State == wallet.Suspended:
		return contract.DocumentStateSuspended
	case d.PersonalValidity:
		return contract.DocumentStateValid
	case today.Before(d.ValidFrom):
		return contract.DocumentStateNotYetValid
	case d.ValidUntil != "" && d.ValidUntil.Before(today):
		return contract.DocumentStateExpired
	}
	return contract.DocumentStateValid
}
