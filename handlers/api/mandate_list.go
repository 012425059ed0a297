package api

import (
	"cmp"
	"context"
	"slices"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/wallet"
)

// ListMandates implements GET /mandates: the mandates in which the calling citizen
// represents or is represented, oldest first.
func (v *Vault) ListMandates(ctx context.Context, r contract.ListMandatesRequestObject) (contract.ListMandatesResponseObject, error) {
	call, p := edge.CallFrom(ctx), r.Params
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.Wallets.Name()); err != nil {
		return nil, err
	}
	from, err := v.LeafFrom("listMandates", p.After, -1)
	if err != nil {
		return nil, err
	}
	me, err := v.LoadPerson(ctx, call.Citizen)
	if err != nil {
		return nil, err
	}
	known, err := v.setClocks(ctx, v.Now(), p.AsOf, p.ValidAt, v.Wallets.Name())
	if err != nil {
		return nil, err
	}
	all, err := v.mandatesKnown(ctx, call.Citizen, known.leaf)
	if err != nil {
		return nil, err
	}
	limit := edge.PageSize(p.PageSize)
	links := edge.AddID(edge.LinksTo(contract.Base+"/mandates"), "mandateId", p.MandateID).Texts("state", edge.AsStrings(p.State)).Time("asOf", p.AsOf).Text("validAt", string(p.ValidAt)).Number("pageSize", p.PageSize)
	page := contract.Mandates{Self: links.At(p.After), Items: []contract.Mandate{}, PageSize: limit}
	for _, m := range all {
		if m.GrantedLeaf <= from || p.MandateID != nil && *p.MandateID != m.Mandate {
			continue
		}
		item, err := v.mandateItem(ctx, m, me, known)
		if err != nil {
			return nil, err
		}
		if len(p.State) > 0 && !slices.Contains(p.State, item.State) {
			continue
		}
		if len(page.Items) == limit {
			page.Next, page.NextCursor = links.Next(v.Cursor("listMandates", from))
			break
		}
		page.Items, from = append(page.Items, item), m.GrantedLeaf
	}
	return contract.ListMandates200JSONResponse(page), nil
}

// mandatesKnown returns the mandates on either side of a citizen that were granted up to a leaf,
// as they stood there, oldest first.
func (v *Vault) mandatesKnown(ctx context.Context, id domain.CitizenID, leaf int64) ([]wallet.Mandate, error) {
	if leaf == projections.Latest {
		return v.MandatesOnEitherSide(ctx, id)
	}
	if leaf < 0 {
		return nil, nil
	}
	lives, err := v.Wallets.Lives(ctx, id, leaf)
	if err != nil {
		return nil, err
	}
	var all []wallet.Mandate
	for _, life := range lives {
		for _, side := range []func(context.Context, domain.CitizenID, int64) ([]wallet.Mandate, error){v.Wallets.Represents, v.Wallets.MandatesOf} {
			more, err := side(ctx, life, leaf)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	}
	slices.SortFunc(all, func(a, b wallet.Mandate) int { return cmp.Compare(a.GrantedLeaf, b.GrantedLeaf) })
	return all, nil
}

// mandateItem shows a mandate to one of its two sides. Its last day is shown when it can be
// opened. What stands on record and allows nothing today is expired, with the reason; of a past
// moment only what was on record is told.
func (v *Vault) mandateItem(ctx context.Context, m wallet.Mandate, viewer acting.Person, known clocks) (contract.Mandate, error) {
	item := contract.Mandate{
		Href: contract.MandateHref(m.Mandate), MandateID: m.Mandate, Kind: contract.MandateKind(m.Kind), State: contract.MandateStateGranted,
		HeldAs: contract.HeldAsSubject, CitizenID: m.Citizen,
		DocumentTypes: m.Scope.Types, Source: m.Source, GrantedAt: m.GrantedAt, Reason: m.Reason,
	}
	if viewer.Is(m.Representative) {
		item.HeldAs = contract.HeldAsRepresentative
	}
	// Until they accept, the represented person is not told whom the vault knows by
	// the number they gave, or whether anybody (rule A-6).
	if item.HeldAs == contract.HeldAsRepresentative || m.AcceptedLeaf != projections.Latest {
		item.RepresentativeCitizenID = m.Representative
	}
	for _, a := range m.Scope.Actions {
		item.Actions = append(item.Actions, contract.MandateAction(a))
	}
	if opened, err := v.OpenMandateEnd(ctx, m); err == nil {
		item.Until = opened.Until
	}
	if m.AcceptedLeaf != projections.Latest {
		item.AcceptedAt, item.State = m.AcceptedAt, contract.MandateStateAccepted
	}
	switch {
	case m.EndedLeaf != projections.Latest:
		item.EndedAt, item.State = m.EndedAt, contract.MandateStateEnded
	case m.DeathLeaf != projections.Latest:
		item.Reason, item.State = mandate.Death, contract.MandateStateEnded
	case item.Until != "" && !known.day.Before(item.Until):
		item.State = contract.MandateStateExpired
	case item.State == contract.MandateStateAccepted && !known.past:
		why, err := v.MandateLapse(ctx, m)
		if err != nil {
			return contract.Mandate{}, err
		}
		if why != "" {
			item.State, item.Reason = contract.MandateStateExpired, why
		}
	}
	return item, nil
}
