package api

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"coffre/domain"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/wallet"
)

const (
	defaultPage = 50
	maxPage     = 200
)

// pageSize is how many items a caller gets at most.
func pageSize(asked PageSize) int {
	if asked == 0 {
		return defaultPage
	}
	return min(int(asked), maxPage)
}

// after reads a cursor; the first page begins before leaf 0.
func after(cursor After) (int64, error) {
	if cursor == "" {
		return -1, nil
	}
	return leafOf(cursor)
}

// ListMandates implements GET /mandates: in which the calling citizen represents
// or is represented, oldest first.
func (v *Vault) ListMandates(ctx context.Context, r ListMandatesRequestObject) (ListMandatesResponseObject, error) {
	call, p := CallFrom(ctx), r.Params
	if err := v.seen(ctx, p.CoffreMinPosition, v.Wallets.Name()); err != nil {
		return nil, err
	}
	from, err := after(p.After)
	if err != nil {
		return nil, err
	}
	all, err := v.mandatesOf(ctx, call.Citizen)
	if err != nil {
		return nil, err
	}
	today, limit := domain.BelgianDate(v.Now()), pageSize(p.PageSize)
	page := Mandates{Self: mandatesHref(p, p.After), Items: []Mandate{}, PageSize: limit}
	for _, m := range all {
		if m.GrantedLeaf <= from || !p.MandateID.IsZero() && p.MandateID != m.Mandate {
			continue
		}
		item := v.mandateItem(ctx, m, call.Citizen, today)
		if len(p.State) > 0 && !slices.Contains(p.State, item.State) {
			continue
		}
		if len(page.Items) == limit {
			page.Next = mandatesHref(p, leafToken(from))
			break
		}
		page.Items, from = append(page.Items, item), m.GrantedLeaf
	}
	return ListMandates200JSONResponse(page), nil
}

// mandatesOf returns the mandates on either side of which a citizen stands, in
// the order in which they were granted.
func (v *Vault) mandatesOf(ctx context.Context, id domain.CitizenID) ([]wallet.Mandate, error) {
	acting, err := v.Wallets.Represents(ctx, id, projections.Latest)
	if err != nil {
		return nil, err
	}
	represented, err := v.Wallets.MandatesOf(ctx, id, projections.Latest)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(acting, represented)
	slices.SortFunc(all, func(a, b wallet.Mandate) int { return int(a.GrantedLeaf - b.GrantedLeaf) })
	return all, nil
}

// mandateItem shows a mandate to one of its two sides. Its end is shown when it
// can be opened.
func (v *Vault) mandateItem(ctx context.Context, m wallet.Mandate, viewer domain.CitizenID, today domain.Date) Mandate {
	item := Mandate{
		Href: mandateHref(m.Mandate), MandateID: m.Mandate, Kind: MandateKind(m.Kind), State: MandateStateGranted,
		HeldAs: HeldAsSubject, CitizenID: m.Citizen,
		DocumentTypes: m.Scope.Types, Source: m.Source, GrantedAt: m.GrantedAt, Reason: m.Reason,
	}
	if m.Representative == viewer {
		item.HeldAs = HeldAsRepresentative
	}
	// Until they accept, the represented person is not told whom the vault knows by
	// the number they gave, or whether anybody (rule A-6).
	if item.HeldAs == HeldAsRepresentative || m.AcceptedLeaf != projections.Latest {
		item.RepresentativeCitizenID = m.Representative
	}
	for _, a := range m.Scope.Actions {
		item.Actions = append(item.Actions, MandateAction(a))
	}
	if opened, err := v.openedEnd(ctx, m); err == nil {
		item.Until = opened.Until
	}
	if m.AcceptedLeaf != projections.Latest {
		item.AcceptedAt, item.State = m.AcceptedAt, MandateStateAccepted
	}
	switch {
	case m.EndedLeaf != projections.Latest:
		item.EndedAt, item.State = m.EndedAt, MandateStateEnded
	case m.DeathLeaf != projections.Latest:
		item.Reason, item.State = mandate.Death, MandateStateEnded
	case item.Until != "" && !today.Before(item.Until):
		item.State = MandateStateExpired
	}
	return item
}

// openedEnd opens the sealed end of a mandate.
func (v *Vault) openedEnd(ctx context.Context, m wallet.Mandate) (mandate.GrantedPersonal, error) {
	opened, err := eventstore.OpenPart(ctx, v.Codec, v.Sealer, m.Place, []byte(`{}`), m.Sealed)
	if err != nil {
		return mandate.GrantedPersonal{}, err
	}
	granted, ok := opened.(mandate.Granted)
	if !ok || granted.Personal == nil {
		return mandate.GrantedPersonal{}, fmt.Errorf("%s holds no end of a mandate", m.Place.Type)
	}
	return *granted.Personal, nil
}

func mandatesHref(p ListMandatesParams, cursor string) string {
	q := url.Values{}
	if !p.MandateID.IsZero() {
		q.Set("mandateId", p.MandateID.String())
	}
	for _, s := range p.State {
		q.Add("state", string(s))
	}
	if p.PageSize != 0 {
		q.Set("pageSize", strconv.Itoa(int(p.PageSize)))
	}
	if cursor != "" {
		q.Set("after", cursor)
	}
	if len(q) == 0 {
		return Base + "/mandates"
	}
	return Base + "/mandates?" + q.Encode()
}
