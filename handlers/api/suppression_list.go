package api

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var suppressionStates = map[contract.SuppressionState]seal.SuppressionState{
	contract.SuppressionStateKept: seal.Kept, contract.SuppressionStateReviewDue: seal.ReviewDue, contract.SuppressionStateEnding: seal.Ending,
}

// ListSuppressions implements GET /suppressions: what is remembered of erased persons, and
// nothing of who they were (rule E-4). The look is recorded first.
func (v *Vault) ListSuppressions(ctx context.Context, r contract.ListSuppressionsRequestObject) (contract.ListSuppressionsResponseObject, error) {
	p, path := r.Params, contract.Base+"/suppressions"
	from, err := v.LeafFrom(path, p.After, -1)
	if err != nil {
		return nil, err
	}
	in, act := v.NewIntent(ctx), audit.Operate{Act: audit.ListSuppressions}
	if p.SuppressionID != nil {
		act.On = p.SuppressionID.String()
	}
	if err := v.recordLook(ctx, in, act); err != nil {
		return nil, err
	}
	states := make([]seal.SuppressionState, len(p.State))
	for i, s := range p.State {
		states[i] = suppressionStates[s]
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.Keys.Suppressions(ctx, in.At.Add(-v.Review), states, p.SuppressionID, from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.AddID(edge.LinksTo(path), "suppressionId", p.SuppressionID).Texts("state", edge.AsStrings(p.State)).Number("pageSize", p.PageSize)
	page := contract.Suppressions{Self: links.At(p.After), Items: []contract.Suppression{}, PageSize: size}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, listedSuppression(one, v.Review)), one.Place
	}
	return contract.ListSuppressions200JSONResponse(page), nil
}

func listedSuppression(s seal.RememberedErasure, review time.Duration) contract.Suppression {
	item := contract.Suppression{Href: contract.SuppressionHref(s.ID), SuppressionID: s.ID, LegalBasis: s.Basis, Until: s.Until}
	for name, state := range suppressionStates {
		if state == s.State {
			item.State = name
		}
	}
	if s.Since.IsZero() {
		return item
	}
	item.Since = domain.DateOf(s.Since)
	if s.Until.IsZero() {
		item.ReviewOn = domain.DateOf(s.Since.Add(review))
	}
	return item
}
