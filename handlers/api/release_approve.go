package api

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/domain/release"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// Steps of an approval, for the ids of its events.
const (
	releaseApproved = iota
	releaseRegistered
	releaseCompleted
)

// ApproveRelease implements POST /releases/{id}/approve: the second of two officers, who
// names the same person again (rule E-4.2). The approval is on record before anything
// changes; one whose process died in between is carried out by approving again.
func (v *Vault) ApproveRelease(ctx context.Context, r contract.ApproveReleaseRequestObject) (contract.ApproveReleaseResponseObject, error) {
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (releaseAnswer, error) {
		return v.approveRelease(ctx, in, r.ReleaseID, r.Body.SSIN.SSIN)
	})
	if err != nil {
		return nil, err
	}
	return contract.ApproveRelease200JSONResponse{Body: done.Release, Headers: contract.ApproveRelease200ResponseHeaders{CoffrePosition: done.At}}, nil
}

func (v *Vault) approveRelease(ctx context.Context, in acting.Intent, id domain.ReleaseID, ssin domain.SSIN) (releaseAnswer, error) {
	stream := acting.ReleaseStream(id)
	proposedBy, err := v.releaseProposer(ctx, stream)
	if err != nil {
		return releaseAnswer{}, err
	}
	state, _, err := acting.Releases.Load(ctx, v.Log, stream)
	if err != nil {
		return releaseAnswer{}, err
	}
	cmd := release.Approve{
		ProposedBy: proposedBy, Aliases: v.Keys.Audit().Subjects(in.Call.Subject), Comparable: v.Keys.Audit().Comparable(proposedBy.Subject),
		Tag: v.Keys.ReleaseTag(id, ssin, state.Tag), By: in.Actor, At: in.At,
	}
	if _, err := cmd.Decide(state); err != nil { // before it can tell whether anything is remembered
		return releaseAnswer{}, err
	}
	if state.ApprovedAt.IsZero() {
		if err := v.CheckReleasable(ctx, ssin); err != nil {
			return releaseAnswer{}, err
		}
	}
	approved, err := acting.Releases.Transact(ctx, v.Log, in.Write(releaseApproved, stream, acting.NoCitizen), cmd)
	if err != nil {
		return releaseAnswer{}, err
	}
	if !approved.State.Completed.IsZero() {
		head, err := v.Log.Head(ctx)
		if err != nil {
			return releaseAnswer{}, fmt.Errorf("head of the log: %w", err)
		}
		return v.releaseAnswer(ctx, approved.State, head)
	}
	citizen, err := v.CarryOutRelease(ctx, in, releaseRegistered, approved.State, eventstore.At(stream, approved.Revision), ssin)
	if err != nil {
		return releaseAnswer{}, err
	}
	completed, err := acting.Releases.Transact(ctx, v.Log, in.Write(releaseCompleted, stream, acting.NoCitizen), release.Complete{Citizen: citizen, At: in.At})
	if err != nil {
		return releaseAnswer{}, err
	}
	return v.releaseAnswer(ctx, completed.State, completed.Position)
}

// releaseProposer returns who proposed a release; release.ErrUnknown when nobody did.
func (v *Vault) releaseProposer(ctx context.Context, stream eventstore.Stream) (domain.Actor, error) {
	for e, err := range v.Log.Read(ctx, stream, 0) {
		if err != nil {
			return domain.Actor{}, fmt.Errorf("read release: %w", err)
		}
		if _, ok := e.Data.(release.Proposed); ok {
			meta, err := e.Metadata()
			return meta.Actor, err
		}
	}
	return domain.Actor{}, release.ErrUnknown
}
