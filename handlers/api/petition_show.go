package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/petition"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// GetPetition implements GET /petitions/{id}: a petition with its texts, for the citizen, for
// whoever answers it and for privacy officers. A look is recorded before anything is opened,
// but a citizen's own.
func (v *Vault) GetPetition(ctx context.Context, r contract.GetPetitionRequestObject) (contract.GetPetitionResponseObject, error) {
	in := v.NewIntent(ctx)
	state, err := v.petitionSeen(ctx, in, r.PetitionID)
	if err != nil {
		return nil, err
	}
	if in.Actor.Role != domain.RoleCitizen {
		if err := v.recordLook(ctx, in, audit.Operate{Act: audit.ReadPetition, On: state.Petition.String(), Citizen: state.Citizen}); err != nil {
			return nil, err
		}
	}
	opened, err := v.OpenPetition(ctx, state.Petition)
	if err != nil {
		return nil, err
	}
	item, err := v.petitionFor(ctx, in, erasures.Petition{State: opened.State})
	if err != nil {
		return nil, err
	}
	item.Text, item.Answer = opened.Text, opened.Answer
	return contract.GetPetition200JSONResponse(item), nil
}

// petitionSeen returns a petition that the caller may see: their own, one that their
// organisation is to answer, or any for a privacy officer. To everybody else it does not exist.
func (v *Vault) petitionSeen(ctx context.Context, in acting.Intent, id domain.PetitionID) (petition.State, error) {
	state, _, err := acting.Petitions.Load(ctx, v.Log, acting.PetitionStream(id))
	if err != nil {
		return petition.State{}, err
	}
	sees := false
	switch in.Actor.Role {
	case domain.RolePrivacyOfficer:
		sees = true
	case domain.RoleConsumer, domain.RoleIssuer:
		sees = in.Actor.Organisation == state.Organisation
	case domain.RoleCitizen:
		person, err := v.LoadPerson(ctx, in.Actor.Citizen)
		if err != nil {
			return petition.State{}, err
		}
		sees = person.Is(state.Citizen)
	}
	if !sees || state.Petition.IsZero() {
		return petition.State{}, edge.ErrNoResource
	}
	return state, nil
}
