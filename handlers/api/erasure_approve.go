package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/work"
)

// ApproveErasure implements POST /erasures/{id}/approve: the second of two persons
// (rule E-1). A task of the
// destroyer then carries the erasure out.
func (v *Vault) ApproveErasure(ctx context.Context, r contract.ApproveErasureRequestObject) (contract.ApproveErasureResponseObject, error) {
	if !v.MayBeErased() {
		return nil, work.ErrNoDestroyer
	}
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (erasureAnswer, error) {
		return v.approveErasure(ctx, in, r.ErasureID)
	})
	if err != nil {
		return nil, explainObstacles(err)
	}
	return contract.ApproveErasure202JSONResponse{Body: done.Erasure, Headers: contract.ApproveErasure202ResponseHeaders{CoffrePosition: done.At, Location: done.Erasure.Href}}, nil
}

func (v *Vault) approveErasure(ctx context.Context, in acting.Intent, id domain.ErasureID) (erasureAnswer, error) {
	e, err := v.Erasure(ctx, id)
	if err != nil {
		return erasureAnswer{}, err
	}
	steps, err := v.ErasureHistory(ctx, e.Citizen, id)
	if err != nil {
		return erasureAnswer{}, err
	}
	documents, refs, err := v.RetentionDuties(ctx, in.Words, e.Citizen, domain.BelgianDate(in.At))
	if err != nil {
		return erasureAnswer{}, err
	}
	result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(e.Citizen), e.Citizen, refs...), citizen.ApproveErasure{
		Erasure: id, RequestedBy: steps.RequestedBy, Documents: documents, By: in.Actor, At: in.At,
	})
	if err != nil {
		return erasureAnswer{}, err
	}
	v.EnqueueErasures(e.Citizen, result.State)
	if e.ApprovedAt.IsZero() {
		e.ApprovedAt = in.At
	}
	at, err := v.PositionToken(ctx, result.Position)
	return erasureAnswer{erasureItem(e), at}, err
}
