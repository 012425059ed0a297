package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/mandate"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections"
	"coffre/projections/erasures"
)

// ListPetitions implements GET /petitions: a citizen's own or, by citizenId, those of somebody whom
// they represent, within the mandate; those that an organisation is to answer; all, or a citizen's,
// for a privacy officer. A look is recorded first, but a citizen's own.
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
	links := edge.AddID(edge.LinksTo(path), "citizenId", p.CitizenID).Texts("state", edge.AsStrings(p.State)).Text("lang", string(p.Lang)).Number("pageSize", p.PageSize)
	size := edge.PageSize(p.PageSize)
	page := contract.Petitions{Self: links.At(p.After), Items: []contract.Petition{}, PageSize: size}
	filter, a, err := v.petitionsOf(ctx, in, p.CitizenID)
	if err != nil {
		return nil, err
	}
	authorized, err := v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(nil))
	if err != nil {
		return nil, err
	}
	for _, s := range p.State {
		filter.In = append(filter.In, erasures.PetitionState(s))
	}
	nobody := in.Actor.Role == domain.RoleCitizen && len(filter.Citizens) == 0 // whom the vault does not know
	for more := !nobody; more; {
		all, err := v.Erasures.Petitions(ctx, filter, domain.BelgianDate(in.At), from, size+1)
		if err != nil {
			return nil, err
		}
		more = len(all) > size
		for _, one := range all {
			covered, err := v.coversPetition(ctx, in, a, one.State)
			if err != nil {
				return nil, err
			}
			if covered && len(page.Items) == size {
				page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
				more = false
				break
			}
			from = one.FirstLeaf
			if !covered {
				continue
			}
			item, err := v.petitionFor(ctx, in, one)
			if err != nil {
				return nil, err
			}
			item.MandateID = visibleMandate(a, item.MandateID)
			page.Items = append(page.Items, item)
		}
	}
	v.RecordDelivered(in, authorized)
	return contract.ListPetitions200JSONResponse(page), nil
}

// petitionsOf returns which petitions the caller sees, of a citizen whom they may have named, and in
// which capacity a citizen does. It records the look of everybody but a citizen. A person whom the
// vault does not know has none.
func (v *Vault) petitionsOf(ctx context.Context, in acting.Intent, of *domain.CitizenID) (f erasures.PetitionFilter, a disclosure.Representation, err error) {
	a.By = domain.Actor{Role: domain.RoleCitizen} // who acts for nobody
	look := audit.Operate{Act: audit.ListPetitions}
	switch in.Actor.Role {
	case domain.RoleCitizen:
		if of == nil && in.Actor.Citizen.IsZero() {
			return f, a, nil
		}
		if a, err = v.ActFor(ctx, in, of, mandate.Read); err != nil {
			return f, a, err
		}
		f.Citizens, err = v.Wallets.Lives(ctx, a.Citizen, projections.Latest)
		return f, a, err
	case domain.RoleConsumer, domain.RoleIssuer:
		if of != nil {
			return f, a, edge.ErrNoResource // an organisation knows nobody by that id
		}
		look.Consumer, f.Organisation = in.Actor.Organisation, &in.Actor.Organisation
	default:
		if of != nil {
			look.Citizen = *of
			if f.Citizens, err = v.Wallets.Lives(ctx, *of, projections.Latest); err != nil {
				return f, a, err
			}
		}
	}
	return f, a, v.recordLook(ctx, in, look)
}
