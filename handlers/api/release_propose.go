package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/release"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// releaseAnswer is the stored answer to a step of a release.
type releaseAnswer struct {
	Release contract.Release
	At      contract.PositionToken
}

// ProposeRelease implements POST /releases: the first of two officers (rule E-4.1). The
// answer is the same whether the vault remembers an erasure of the number or not.
func (v *Vault) ProposeRelease(ctx context.Context, r contract.ProposeReleaseRequestObject) (contract.ProposeReleaseResponseObject, error) {
	key, b := r.Params.IdempotencyKey, r.Body
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (releaseAnswer, error) {
		if err := in.LegalBasis(b.LegalBasis); err != nil {
			return releaseAnswer{}, err
		}
		id := domain.ReleaseID{UUID: uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))}
		result, err := acting.Releases.Transact(ctx, v.Log, in.Write(0, acting.ReleaseStream(id), acting.NoCitizen), release.Propose{
			Release: id, Kind: release.Kind(b.Kind), Basis: b.LegalBasis, Until: b.Until, Tag: v.Keys.ReleaseTag(id, b.SSIN.SSIN, release.Tag{}), By: in.Actor, At: in.At,
		})
		if err != nil {
			return releaseAnswer{}, err
		}
		return v.releaseAnswer(ctx, result.State, result.Position)
	})
	if err != nil {
		return nil, err
	}
	return contract.ProposeRelease202JSONResponse{Body: done.Release, Headers: contract.ProposeRelease202ResponseHeaders{CoffrePosition: done.At, Location: done.Release.Href}}, nil
}

func (v *Vault) releaseAnswer(ctx context.Context, s release.State, at eventstore.Position) (releaseAnswer, error) {
	position, err := v.PositionToken(ctx, at)
	return releaseAnswer{releaseItem(s), position}, err
}

// releaseItem returns a release as the contract shows it.
func releaseItem(s release.State) contract.Release {
	item := contract.Release{
		Href: contract.ReleaseHref(s.Release), ReleaseID: s.Release, Kind: contract.ReleaseKind(s.Kind), LegalBasis: s.Basis, Until: s.Until,
		State: contract.ReleaseStateProposed, ProposedAt: s.ProposedAt, ApprovedAt: s.ApprovedAt, CompletedAt: s.Completed, CitizenID: s.Citizen,
	}
	switch {
	case !s.Completed.IsZero():
		item.State = contract.ReleaseStateCompleted
	case !s.ApprovedAt.IsZero():
		item.State = contract.ReleaseStateApproved
	}
	return item
}
