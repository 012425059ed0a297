package api

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/eventstore/jobs"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
	"coffre/projections"
)

// RebuildProjection implements POST /projections/{name}/rebuild: a new read model is built
// beside the live one, which answers until the new one is ready. The answer names the rebuild;
// a request while one is under way joins it.
func (v *Vault) RebuildProjection(ctx context.Context, r contract.RebuildProjectionRequestObject) (contract.RebuildProjectionResponseObject, error) {
	type begun struct{ Rebuild uuid.UUID }
	name := r.ProjectionName
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (begun, error) {
		if _, err := v.projection(ctx, name); err != nil {
			return begun{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RebuildProjection, On: name}); err != nil {
			return begun{}, err
		}
		job, err := v.Rebuild(ctx, in.ID(rebuildID), name)
		return begun{job.ID}, err
	})
	if err != nil {
		return nil, err
	}
	item, err := v.rebuildItem(ctx, done.Rebuild)
	if err != nil {
		return nil, err
	}
	return contract.RebuildProjection202JSONResponse{Body: item, Headers: contract.RebuildProjection202ResponseHeaders{Location: item.Href}}, nil
}

// rebuildID numbers the id of a rebuild among those of its request; the first is the record's.
const rebuildID = 1

// GetRebuild implements GET /rebuilds/{id}: how a rebuild goes, or how it ended.
func (v *Vault) GetRebuild(ctx context.Context, r contract.GetRebuildRequestObject) (contract.GetRebuildResponseObject, error) {
	item, err := v.rebuildItem(ctx, r.RebuildID)
	if err != nil {
		return nil, err
	}
	return contract.GetRebuild200JSONResponse(item), nil
}

// rebuildItem returns a rebuild as the contract shows it.
func (v *Vault) rebuildItem(ctx context.Context, id uuid.UUID) (contract.Rebuild, error) {
	job, found, err := v.FindRebuild(ctx, id)
	if err != nil {
		return contract.Rebuild{}, err
	} else if !found {
		return contract.Rebuild{}, edge.ErrNoResource
	}
	item := contract.Rebuild{
		Href: contract.RebuildHref(id), RebuildID: id, Projection: job.On, State: rebuildStates[job.State],
		RequestedAt: job.Requested, BegunAt: job.Begun, EndedAt: job.Ended,
	}
	if !job.Over() {
		item.PollAfter = v.Now().UTC().Add(edge.PollAfter)
	}
	if job.State == jobs.Failed {
		item.Problem = edge.TaskProblem(work.RebuildProblem(job.Reason))
	}
	return item, nil
}

var rebuildStates = map[jobs.State]contract.RebuildState{
	jobs.Waiting: contract.RebuildStateWaiting, jobs.Running: contract.RebuildStateRunning,
	jobs.Done: contract.RebuildStateDone, jobs.Failed: contract.RebuildStateFailed,
}

// projection returns the status of the read model with the name.
func (v *Vault) projection(ctx context.Context, name string) (projections.Status, error) {
	all, err := v.Runner.Status(ctx)
	if err != nil {
		return projections.Status{}, err
	}
	i := slices.IndexFunc(all, func(s projections.Status) bool { return s.Name == name })
	if i < 0 {
		return projections.Status{}, edge.ErrNoResource
	}
	return all[i], nil
}
