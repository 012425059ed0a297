package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// correctionAnswer is the stored answer to a step of a correction. It holds no case
// reference, which would be personal.
type correctionAnswer struct {
	Correction contract.Correction
	At         contract.PositionToken
}

// CorrectDeath implements POST /citizens/correctDeath: the authentic source's half of the
// correction of a death (rules P-6, R-13).
func (v *Vault) CorrectDeath(ctx context.Context, r contract.CorrectDeathRequestObject) (contract.CorrectDeathResponseObject, error) {
	key := r.Params.IdempotencyKey
	at, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (contract.PositionToken, error) {
		attestors, err := checkAttests(in, registry.Death)
		if err != nil {
			return "", err
		}
		return recordStatement(ctx, v, in, []contract.SSIN{r.Body.SSIN}, func(id domain.CitizenID) (contract.PositionToken, error) {
			result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(id), id), citizen.ProposeDeathCorrection{
				Correction: newCorrectionID(in, key), CaseReference: r.Body.CaseReference, Attestors: attestors, By: in.Actor, At: in.At,
			})
			if err != nil {
				return "", err
			}
			return v.PositionToken(ctx, result.Position)
		})
	})
	if err != nil {
		return nil, err
	}
	return contract.CorrectDeath204Response{Headers: contract.CorrectDeath204ResponseHeaders{CoffrePosition: at}}, nil
}

// ProposeCorrection implements POST /citizens/{id}/corrections: the first of two officers
// (rule P-6).
func (v *Vault) ProposeCorrection(ctx context.Context, r contract.ProposeCorrectionRequestObject) (contract.ProposeCorrectionResponseObject, error) {
	key, b := r.Params.IdempotencyKey, r.Body
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (correctionAnswer, error) {
		id := newCorrectionID(in, key)
		cmd, err := v.proposal(ctx, in, id, b)
		if err != nil {
			return correctionAnswer{}, err
		}
		result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(r.CitizenID), r.CitizenID), cmd)
		if err != nil {
			return correctionAnswer{}, err
		}
		return v.correctionAnswer(ctx, in, r.CitizenID, id, result.State, in.Actor, result.Position)
	})
	if err != nil {
		return nil, err
	}
	done.Correction.CaseReference = b.CaseReference
	return contract.ProposeCorrection202JSONResponse{Body: done.Correction, Headers: contract.ProposeCorrection202ResponseHeaders{CoffrePosition: done.At}}, nil
}

// ErrCorrection refuses a proposal whose members do not fit its kind.
var ErrCorrection = domain.NewError(domain.Invalid, "correctionKind", "a merge names the surviving citizen, and no other correction does")

type citizenCommand = eventstore.Command[citizen.State, citizen.Event]

// proposal returns the command of an officer's proposal.
func (v *Vault) proposal(ctx context.Context, in acting.Intent, id domain.CorrectionID, b *contract.CorrectionPropose) (citizenCommand, error) {
	merges := b.Kind == contract.CorrectionKindMerge
	if merges == (b.SurvivingCitizenID == nil) {
		return nil, ErrCorrection
	}
	switch b.Kind {
	case contract.CorrectionKindMerge:
		survivor, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(*b.SurvivingCitizenID))
		return citizen.ProposeMerge{Correction: id, Survivor: survivor, CaseReference: b.CaseReference, By: in.Actor, At: in.At}, err
	case contract.CorrectionKindSeparation:
		return citizen.ProposeSeparation{Correction: id, CaseReference: b.CaseReference, By: in.Actor, At: in.At}, nil
	}
	return citizen.ProposeDeathCorrection{Correction: id, CaseReference: b.CaseReference, By: in.Actor, At: in.At}, nil
}

// newCorrectionID returns the id of the correction that a request proposes, the same at
// every repetition.
func newCorrectionID(in acting.Intent, key uuid.UUID) domain.CorrectionID {
	return domain.CorrectionID{UUID: uuid.NewSHA1(key, []byte("correction "+acting.RequestOwner(in.Call)))}
}

func (v *Vault) correctionAnswer(ctx context.Context, in acting.Intent, whose domain.CitizenID, id domain.CorrectionID, s citizen.State, proposedBy domain.Actor, at eventstore.Position) (correctionAnswer, error) {
	c, _ := s.Correction(id)
	position, err := v.PositionToken(ctx, at)
	return correctionAnswer{correctionItem(in, whose, disclosure.Correction{Correction: c, ProposedBy: proposedBy}), position}, err
}

// correctionItem returns a correction as the contract shows it.
func correctionItem(in acting.Intent, whose domain.CitizenID, c disclosure.Correction) contract.Correction {
	item := contract.Correction{
		Href: contract.CorrectionsHref(whose), CorrectionID: c.ID, CitizenID: whose, Kind: contract.CorrectionKind(c.Kind), CaseReference: c.CaseReference,
		State: contract.CorrectionStateProposed, ProposedBy: contract.ActorRole(c.ProposedBy.Role), Organization: c.ProposedBy.Organisation,
		SurvivingCitizenID: c.Survivor, ProposedAt: c.ProposedAt, CompletedAt: c.DecidedAt,
	}
	switch {
	case !c.DecidedAt.IsZero():
		item.State = contract.CorrectionStateCompleted
	case c.Lapsed(in.At):
		item.State = contract.CorrectionStateLapsed
	}
	return item
}
