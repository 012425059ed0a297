package api

import (
	"context"
	"strings"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore/seal"
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
	cmd := citizen.ApproveErasure{Erasure: id, RequestedBy: steps.RequestedBy, Documents: documents, By: in.Actor, At: in.At}
	for _, asked := range steps.Requests {
		names, comparable, err := v.approverNames(ctx, in, e.Citizen, asked)
		if err != nil {
			return erasureAnswer{}, err
		}
		cmd.Aliases = append(cmd.Aliases, names...)
		switch {
		case comparable && cmd.Comparable:
			cmd.AlsoRequestedBy = append(cmd.AlsoRequestedBy, asked)
		case comparable:
			cmd.RequestedBy, cmd.Comparable = asked, true
		}
	}
	if cmd.Others, err = v.OtherLives(ctx, e.Citizen); err != nil {
		return erasureAnswer{}, err
	}
	result, err := acting.Citizens.Transact(ctx, v.Log, in.Write(0, acting.CitizenStream(e.Citizen), e.Citizen, refs...), cmd)
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

// approverNames returns the names that the approver of an erasure would have as the one who
// asked for it, and whether the one who asked can be compared with them at all.
func (v *Vault) approverNames(ctx context.Context, in acting.Intent, of domain.CitizenID, asked domain.Actor) (names []string, comparable bool, err error) {
	names = v.Keys.Audit().Subjects(in.Call.Subject)
	if asked.Role != domain.RoleCitizen || !strings.Contains(asked.Subject, ".") { // named before names had versions
		return names, v.Keys.Audit().Comparable(asked.Subject), nil
	}
	tag, err := v.Keys.CitizenLoginTag(ctx, of, in.Call.Subject)
	return append(names, tag), seal.IsLoginTag(asked.Subject), err
}
