package api

import (
	"context"
	"slices"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
)

// ApproveCorrection implements POST /citizens/{id}/corrections/{id}/approve: the second
// person of a correction, who carries it out (rule P-6).
func (v *Vault) ApproveCorrection(ctx context.Context, r contract.ApproveCorrectionRequestObject) (contract.ApproveCorrectionResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (correctionAnswer, error) {
		proposal, err := v.correction(ctx, r.CitizenID, r.CorrectionID)
		if err != nil {
			return correctionAnswer{}, err
		}
		cmd, err := v.decision(ctx, in, r.CitizenID, proposal)
		if err != nil {
			return correctionAnswer{}, err
		}
		result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(correctionDecided, acting.CitizenStream(r.CitizenID), r.CitizenID), cmd)
		if err != nil {
			return correctionAnswer{}, err
		}
		return v.correctionAnswer(ctx, in, r.CitizenID, r.CorrectionID, result.State, proposal.ProposedBy, result.Position)
	})
	if err != nil {
		return nil, err
	}
	return contract.ApproveCorrection200JSONResponse{Body: done.Correction, Headers: contract.ApproveCorrection200ResponseHeaders{CoffrePosition: done.At}}, nil
}

// Steps of an approval, for the ids of its events.
const (
	correctionDecided = iota
	correctionTakenIn
)

// decision returns the command that carries a correction out. Of a merge the survivor's stream
// has to say first which life it takes in; that counts for nothing until the other's stream
// says so too, and is made again by whoever approves after a crash.
func (v *Vault) decision(ctx context.Context, in acting.Intent, whose domain.CitizenID, proposal disclosure.Correction) (citizenCommand, error) {
	agreement := v.agreement(in, proposal)
	switch proposal.Kind {
	case citizen.Separation:
		return citizen.Separate{Agreement: agreement}, nil
	case citizen.Merge:
	default:
		return citizen.CorrectDeath{Agreement: agreement}, nil
	}
	former, _, err := acting.Citizens.Load(ctx, v.Log, acting.CitizenStream(whose))
	if err != nil {
		return nil, err
	}
	stream := acting.CitizenStream(proposal.Survivor)
	survivor, _, err := acting.Citizens.Load(ctx, v.Log, stream)
	if err != nil {
		return nil, err
	}
	merge := citizen.MergeInto{Agreement: agreement, Survivor: survivor}
	if events, err := merge.Decide(former); err != nil || len(events) == 0 {
		return merge, err
	}
	taken, err := acting.Citizens.Transact(ctx, v.Log, in.Write(correctionTakenIn, stream, proposal.Survivor), citizen.TakeIn{Correction: proposal.ID, Former: former, By: in.Actor, At: in.At})
	merge.Survivor = taken.State
	return merge, err
}

// correction returns a correction that was proposed about a citizen; citizen.ErrNoCorrection
// when there is none.
func (v *Vault) correction(ctx context.Context, whose domain.CitizenID, id domain.CorrectionID) (disclosure.Correction, error) {
	all, err := v.Corrections(ctx, whose)
	if err != nil {
		return disclosure.Correction{}, err
	}
	i := slices.IndexFunc(all, func(c disclosure.Correction) bool { return c.ID == id })
	if i < 0 {
		return disclosure.Correction{}, citizen.ErrNoCorrection
	}
	return all[i], nil
}

// agreement returns the caller's agreement to a correction.
func (v *Vault) agreement(in acting.Intent, c disclosure.Correction) citizen.Agreement {
	return citizen.Agreement{
		Correction: c.ID, ProposedBy: c.ProposedBy, Aliases: v.Keys.Audit().Subjects(in.Call.Subject), Comparable: v.Keys.Audit().Comparable(c.ProposedBy.Subject),
		By: in.Actor, At: in.At,
	}
}
