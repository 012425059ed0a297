package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/erasures"
)

// ListPetitions implements GET /petitions: a citizen's own, those that an organisation is to
// answer, or all for a privacy officer. A look is recorded first, but a citizen's own.
func (v *Vault) ListPetitions(ctx context.Context, r contract.ListPetitionsRequestObject) (contract.ListPetitionsResponseObject, error) {
	p, path := r.Params, contract.Base+"/petitions"
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.Erasures.Name()); err != nil {
		return nil, err
	}
	from, err := v.LeafFrom(path, p.After, -1)
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	links := edge.LinksTo(path).Texts("state", edge.AsStrings(p.State)).Text("lang", string(p.Lang)).Number("pageSize", p.PageSize)
	size := edge.PageSize(p.PageSize)
	page := contract.Petitions{Self: links.At(p.After), Items: []contract.Petition{}, PageSize: size}
	filter, mayHave, err := v.petitionsOf(ctx, in)
	if err != nil {
		return nil, err
	}
	for _, s := range p.State {
		filter.In = append(filter.In, erasures.PetitionState(s))
	}
	var all []erasures.Petition
	if mayHave {
		if all, err = v.Erasures.Petitions(ctx, filter, domain.BelgianDate(in.At), from, size+1); err != nil {
			return nil, err
		}
	}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		item, err := v.petitionFor(ctx, in, one)
		if err != nil {
			return nil, err
		}
		page.Items, from = append(page.Items, item), one.FirstLeaf
	}
	return contract.ListPetitions200JSONResponse(page), nil
}

// petitionsOf returns which petitions the caller sees, and records the look of everybody but a
// citizen; false for a person whom the vault does not know, who has none.
func (v *Vault) petitionsOf(ctx context.Context, in acting.Intent) (f erasures.PetitionFilter, mayHave bool, err error) {
	switch in.Actor.Role {
	case domain.RoleCitizen:
		if in.Actor.Citizen.IsZero() {
			return f, false, nil
		}
		f.Citizens, err = v.Wallets.Lives(ctx, in.Actor.Citizen, projections.Latest)
		return f, true, err
	case domain.RoleConsumer, domain.RoleIssuer:
		f.Organisation = &in.Actor.Organisation
		return f, true, v.recordLook(ctx, in, audit.Operate{Act: audit.ListPetitions, Consumer: in.Actor.Organisation})
	}
	return f, true, v.recordLook(ctx, in, audit.Operate{Act: audit.ListPetitions})
}
