package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// ListReleases implements GET /releases: the releases of erased persons' numbers, oldest
// first, so that another officer finds those that wait. The look is recorded first.
func (v *Vault) ListReleases(ctx context.Context, r contract.ListReleasesRequestObject) (contract.ListReleasesResponseObject, error) {
	p, path := r.Params, contract.Base+"/releases"
	from, err := v.beginList(ctx, v.Erasures, p.CoffreMinPosition, path, p.After, audit.Operate{Act: audit.ListReleases})
	if err != nil {
		return nil, err
	}
	states := make([]erasures.ReleaseState, len(p.State))
	for i, s := range p.State {
		states[i] = erasures.ReleaseState(s)
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.Erasures.Releases(ctx, states, from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.LinksTo(path).Texts("state", edge.AsStrings(p.State)).Number("pageSize", p.PageSize)
	page := contract.Releases{Self: links.At(p.After), Items: []contract.Release{}, PageSize: size}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, listedRelease(one)), one.FirstLeaf
	}
	return contract.ListReleases200JSONResponse(page), nil
}

func listedRelease(r erasures.Release) contract.Release {
	return contract.Release{
		Href: contract.ReleaseHref(r.Release), ReleaseID: r.Release, Kind: contract.ReleaseKind(r.Kind), LegalBasis: r.Basis, Until: r.Until,
		State: contract.ReleaseState(r.State()), ProposedAt: r.ProposedAt, ApprovedAt: r.ApprovedAt, CompletedAt: r.CompletedAt, CitizenID: r.Citizen,
	}
}
