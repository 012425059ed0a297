package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// RestrictProcessing implements POST /citizens/{id}/restrictions (rule P-5). It needs no key
// and works while keys are unavailable.
func (v *Vault) RestrictProcessing(ctx context.Context, r contract.RestrictProcessingRequestObject) (contract.RestrictProcessingResponseObject, error) {
	if err := v.ActAlone(ctx, edge.CallFrom(ctx), r.CitizenID); err != nil {
		return nil, err
	}
	type restricted struct {
		Restriction contract.Restriction
		At          contract.PositionToken
	}
	key := r.Params.IdempotencyKey
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (_ restricted, err error) {
		if err := in.Reason(registry.ReasonRestriction, r.Body.Reason); err != nil {
			return restricted{}, err
		}
		if err := v.isDocumentOf(ctx, r.CitizenID, r.Body.DocumentID); err != nil {
			return restricted{}, err
		}
		one := citizen.RestrictProcessing{
			Restriction: domain.RestrictionID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))},
			Document:    r.Body.DocumentID, Reason: r.Body.Reason, By: in.Actor, At: in.At,
		}
		if err := v.takePersonAct(ctx, in, r.CitizenID, one.Restriction.UUID); err != nil {
			return restricted{}, err
		}
		defer func() { v.FreeIfRefused(&acting.PersonActs, one.Restriction.UUID, err) }()
		whose, err := v.Survivor(ctx, r.CitizenID)
		if err != nil {
			return restricted{}, err
		}
		one.By = v.AsLife(in.Actor, whose)
		result, err := acting.Citizens.TransactReserved(ctx, v.Log, in.Write(0, acting.CitizenStream(whose), whose), one)
		if err != nil {
			return restricted{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		asked := citizen.Restriction{ID: one.Restriction, Reason: one.Reason, AskedBy: in.Actor.Role, At: in.At}
		if one.Document != nil {
			asked.Document = *one.Document
		}
		return restricted{restrictionItem(r.CitizenID, asked), at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RestrictProcessing201JSONResponse{Body: done.Restriction, Headers: contract.RestrictProcessing201ResponseHeaders{CoffrePosition: done.At}}, nil
}

// takePersonAct takes a place for what the caller asks about a citizen: an erasure, a
// restriction or a hold. It passes while the disk is full, as these do.
func (v *Vault) takePersonAct(ctx context.Context, in acting.Intent, of domain.CitizenID, id uuid.UUID) error {
	return v.Take(ctx, in.Call, &acting.PersonActs, acting.Room{ID: id, Person: of.UUID[:], Class: eventstore.Reserved})
}

// isDocumentOf refuses a document that is not the citizen's, of any of their lives; nil is none
// in particular.
func (v *Vault) isDocumentOf(ctx context.Context, id domain.CitizenID, d *domain.DocumentID) error {
	if d == nil {
		return nil
	}
	state, _, err := acting.Documents.Load(ctx, v.Log, acting.DocumentStream(*d))
	if err != nil {
		return err
	}
	person, err := v.LoadPerson(ctx, id)
	if err == nil && (!state.Exists() || !person.Is(state.Citizen)) {
		err = document.ErrNotFound
	}
	return err
}

// restrictionsOf returns every restriction of processing of a citizen, oldest first.
func (v *Vault) restrictionsOf(ctx context.Context, id domain.CitizenID) ([]contract.Restriction, error) {
	person, err := v.LoadPerson(ctx, id)
	items := make([]contract.Restriction, 0, len(person.Restrictions))
	for _, r := range person.Restrictions {
		items = append(items, restrictionItem(id, r))
	}
	return items, err
}

// restrictionItem returns a restriction of processing as the contract shows it.
func restrictionItem(whose domain.CitizenID, r citizen.Restriction) contract.Restriction {
	return contract.Restriction{
		Href: contract.RestrictionHref(whose, r.ID), RestrictionID: r.ID, CitizenID: whose, DocumentID: r.Document, Reason: r.Reason, AskedBy: contract.ActorRole(r.AskedBy), RestrictedAt: r.At, LiftedAt: r.LiftedAt,
	}
}
