package api

import (
	"context"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/domain/petition"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// Steps of an answer, for the ids of its events.
const (
	petitionAnswered = iota
	petitionLifts
)

// AnswerPetition implements POST /petitions/{id}/answer (rules ). The answer is
// on record before the restriction ends; one whose process died in between is carried out by
// answering again.
func (v *Vault) AnswerPetition(ctx context.Context, r contract.AnswerPetitionRequestObject) (contract.AnswerPetitionResponseObject, error) {
	type answered struct{ At contract.PositionToken }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (answered, error) {
		state, err := v.petitionSeen(ctx, in, r.PetitionID)
		if err != nil {
			return answered{}, err
		}
		cmd := petition.Answer{Outcome: petition.Outcome(r.Body.Outcome), Text: r.Body.Text, By: in.Actor, At: in.At}
		var basedOn []eventstore.Reference
		if state.Kind == petition.Rectification {
			stream := acting.DocumentStream(state.Document)
			contested, revision, err := acting.Documents.Load(ctx, v.Log, stream)
			if err != nil {
				return answered{}, err
			}
			cmd.Version, cmd.Revoked = contested.Current(), contested.StatusAt(domain.BelgianDate(in.At)) == document.IsRevoked
			basedOn = append(basedOn, eventstore.At(stream, revision))
		}
		result, err := acting.Petitions.Transact(ctx, v.Log, in.Write(petitionAnswered, acting.PetitionStream(state.Petition), state.Citizen, basedOn...), cmd)
		if err != nil {
			return answered{}, err
		}
		if result.State.LiftsRestriction() {
			if err := v.liftAnswered(ctx, in, result.State); err != nil {
				return answered{}, err
			}
		}
		v.Free(&acting.OpenPetitions, state.Petition.UUID)
		at, err := v.PositionToken(ctx, result.Position)
		return answered{at}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.AnswerPetition204Response{Headers: contract.AnswerPetition204ResponseHeaders{CoffrePosition: done.At}}, nil
}

// liftAnswered ends the restriction that came with a petition, which was answered; the answer
// tells the citizen (GDPR art. 18(3)). An erasure that waited for nothing else goes on.
func (v *Vault) liftAnswered(ctx context.Context, in acting.Intent, s petition.State) error {
	id := s.Petition.Restriction()
	whose, err := v.LifeWith(ctx, s.Citizen, func(c citizen.State) bool {
		return slices.ContainsFunc(c.Restrictions, func(one citizen.Restriction) bool { return one.ID == id })
	})
	if err != nil {
		return err
	}
	lift := citizen.LiftRestriction{Restriction: id, Petition: &s.Petition, Informed: domain.BelgianDate(in.At), By: in.Actor, At: in.At}
	if _, err := acting.Citizens.TransactReserved(ctx, v.Log, in.Write(petitionLifts, acting.CitizenStream(whose), whose), lift); err != nil {
		return err
	}
	return v.EnqueueErasuresOf(ctx, whose)
}
