package api

import (
	"context"
	"errors"
	"slices"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/mandate"
	"coffre/domain/petition"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
	"coffre/projections/erasures"
)

// GetPetition implements GET /petitions/{id}: a petition with its texts, for the citizen, for
// their representatives within their mandates, for whoever answers it and for privacy officers. A
// look is recorded before anything is opened, but a citizen's own.
func (v *Vault) GetPetition(ctx context.Context, r contract.GetPetitionRequestObject) (contract.GetPetitionResponseObject, error) {
	in := v.NewIntent(ctx)
	state, a, err := v.petitionReader(ctx, in, r.PetitionID)
	if err != nil {
		return nil, err
	}
	if in.Actor.Role != domain.RoleCitizen {
		if err := v.recordLook(ctx, in, audit.Operate{Act: audit.ReadPetition, On: state.Petition.String(), Citizen: state.Citizen}); err != nil {
			return nil, err
		}
	}
	authorized, err := v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(nil))
	if err != nil {
		return nil, err
	}
	opened, err := v.OpenPetition(ctx, state.Petition)
	if err != nil {
		return nil, err
	}
	item, err := v.petitionFor(ctx, in, erasures.Petition{State: opened.State})
	if err != nil {
		return nil, err
	}
	item.Text, item.Extension, item.Answer = opened.Text, opened.Extension, opened.Answer
	item.MandateID = visibleMandate(a, item.MandateID)
	v.RecordDelivered(in, authorized)
	return contract.GetPetition200JSONResponse(item), nil
}

// petitionSeen is petitionReader for whoever writes.
func (v *Vault) petitionSeen(ctx context.Context, in acting.Intent, id domain.PetitionID) (petition.State, error) {
	state, _, err := v.petitionReader(ctx, in, id)
	return state, err
}

// petitionReader returns a petition that the caller may see, and in which capacity a citizen does:
// their own, one of somebody whom they represent within the mandate, one that their organisation is
// to answer, or any for a privacy officer. To everybody else it does not exist.
func (v *Vault) petitionReader(ctx context.Context, in acting.Intent, id domain.PetitionID) (petition.State, disclosure.Representation, error) {
	a := disclosure.Representation{By: domain.Actor{Role: domain.RoleCitizen}} // who acts for nobody
	state, _, err := acting.Petitions.Load(ctx, v.Log, acting.PetitionStream(id))
	if err != nil {
		return petition.State{}, a, err
	}
	sees := false
	switch in.Actor.Role {
	case domain.RolePrivacyOfficer:
		sees = true
	case domain.RoleConsumer, domain.RoleIssuer:
		sees = in.Actor.Organisation == state.Organisation
	case domain.RoleCitizen:
		whose := state.Citizen
		if whose.IsZero() { // as much is read as for somebody's petition (rule A-9)
			whose = domain.CitizenID{UUID: v.NewID()}
		}
		if a, err = v.ActFor(ctx, in, &whose, mandate.Read); err != nil {
			return petition.State{}, a, err
		}
		if sees, err = v.coversPetition(ctx, in, a, state); err != nil {
			return petition.State{}, a, err
		}
	}
	if !sees || state.Petition.IsZero() {
		return petition.State{}, a, edge.ErrNoResource
	}
	return state, a, nil
}

// coversPetition reports whether a citizen or a representative may see a petition: what it is about
// has to be something that they may see (rule Q-8).
func (v *Vault) coversPetition(ctx context.Context, in acting.Intent, a disclosure.Representation, s petition.State) (bool, error) {
	switch {
	case a.Self():
		return true, nil
	case !s.Document.IsZero():
		contested, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(s.Document))
		return err == nil && holdsType(in, a, contested.Type), err
	case !s.Entry.IsZero():
		person, err := v.LoadPerson(ctx, s.Citizen)
		if err != nil {
			return false, err
		}
		e, err := v.accessEntry(ctx, in, person.Lives, s.Entry)
		if errors.Is(err, errNoEntry) { // hidden, or not in the read model yet
			return false, nil
		}
		return err == nil && visibleEntry(a, e.Type), err
	}
	return visibleEntry(a, ""), nil
}

// visibleMandate returns the mandate of a petition for whoever may know it: to a representative
// one of another is somebody else's affair.
func visibleMandate(a disclosure.Representation, id domain.MandateID) domain.MandateID {
	if a.Self() || slices.ContainsFunc(a.Mandates, func(m mandate.InForce) bool { return m.ID == id }) {
		return id
	}
	return domain.MandateID{}
}
