package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/wallet"
)

// dueScanLimit bounds the documents that one call looks at, so that a page takes no longer in
// a large vault; the link next leads on.
const dueScanLimit = 1000

// ListDueErasures implements GET /dueErasures: the documents whose retention has ended.
// Nothing is erased by it. Sealed dates on which a retention depends are opened for the
// judgement, a page at once, and not told.
func (v *Vault) ListDueErasures(ctx context.Context, r contract.ListDueErasuresRequestObject) (contract.ListDueErasuresResponseObject, error) {
	p := r.Params
	cursor, err := v.beginList(ctx, v.Wallets, p.CoffreMinPosition, "listDueErasures", p.After, audit.Operate{Act: audit.ListDueErasures})
	if err != nil {
		return nil, err
	}
	held, err := v.Wallets.All(ctx, cursor, dueScanLimit)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(contract.Base+"/dueErasures").Number("pageSize", p.PageSize)
	page := contract.DueErasures{Self: links.At(p.After), Items: []contract.DueErasure{}, PageSize: edge.PageSize(p.PageSize)}
	words, today := v.Words.Current(), domain.BelgianDate(v.Now())
	var sealed []eventstore.Stream
	for i := range held {
		if t, known := words.Retention(held[i].Type); known && t.From == registry.FromEnd && held[i].PersonalValidity {
			sealed = append(sealed, held[i].Place.Stream)
		}
	}
	if err := v.Keys.PrefetchStreams(ctx, sealed); err != nil && !errors.Is(err, eventstore.ErrErased) {
		return nil, err
	}
	for i := range held {
		if len(page.Items) == page.PageSize {
			page.Next, page.NextCursor = links.Next(v.Cursor("listDueErasures", cursor))
			break
		}
		cursor = held[i].FromLeaf
		retention, known := words.Retention(held[i].Type)
		if !known {
			return nil, fmt.Errorf("the registry has no type %s", held[i].Type)
		}
		item, due, err := v.dueErasure(ctx, &held[i], retention, today)
		if err != nil {
			return nil, err
		}
		if due {
			page.Items = append(page.Items, item)
		}
	}
	if page.Next == "" && len(held) == dueScanLimit {
		page.Next, page.NextCursor = links.Next(v.Cursor("listDueErasures", cursor))
	}
	return contract.ListDueErasures200JSONResponse(page), nil
}

// dueErasure reports whether the retention of a document has ended, with its item. A document
// that is being erased is not due any more.
func (v *Vault) dueErasure(ctx context.Context, d *wallet.Document, retention registry.Retention, today domain.Date) (contract.DueErasure, bool, error) {
	document := citizen.RetainedDocument{Document: d.Document, Type: d.Type, Issued: domain.BelgianDate(d.IssuedAt), Retention: retention}
	if retention.From == registry.FromEnd {
		a, err := v.LoadDocument(ctx, d.Document)
		if err != nil {
			return contract.DueErasure{}, false, err
		}
		if a, err = v.OpenDatesExcept(ctx, a, eventstore.ErrErased); err != nil {
			return contract.DueErasure{}, false, err
		}
		document.Ended = a.State.EndedBy(today)
	}
	since, due := document.Due(today)
	if !due {
		return contract.DueErasure{}, false, nil
	}
	state, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(d.Citizen))
	if err != nil || state.Closed(d.Document) {
		return contract.DueErasure{}, false, err
	}
	others, err := v.OtherLives(ctx, d.Citizen)
	if err != nil {
		return contract.DueErasure{}, false, err
	}
	held := state.OnHold() || slices.ContainsFunc(others, citizen.State.OnHold)
	item := contract.DueErasure{
		Href: contract.DocumentHref(d.Document), DocumentID: d.Document, CitizenID: d.Citizen, DocumentType: d.Type,
		Rule: retention.Rule, Then: contract.RetentionEnd(strings.ToLower(string(retention.Then))), LegalHold: held,
	}
	if !d.PersonalValidity || retention.From == registry.FromIssue {
		item.Since = since
	}
	return item, true, nil
}
