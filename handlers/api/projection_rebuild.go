package api

import (
	"context"
	"slices"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
)

// RebuildProjection implements POST /projections/{name}/rebuild: a new read model is built
// beside the live one, which answers until the new one is ready. A request while a rebuild
// is under way joins that rebuild.
func (v *Vault) RebuildProjection(ctx context.Context, r contract.RebuildProjectionRequestObject) (contract.RebuildProjectionResponseObject, error) {
	type begun struct{}
	name := r.ProjectionName
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (begun, error) {
		if _, err := v.projection(ctx, name); err != nil {
			return begun{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RebuildProjection, On: name}); err != nil {
			return begun{}, err
		}
		v.Rebuild(name)
		return begun{}, nil
	})
	if err != nil {
		return nil, err
	}
	s, err := v.projection(ctx, name)
	if err != nil {
		return nil, err
	}
	return contract.RebuildProjection202JSONResponse{Body: projectionItem(s), Headers: contract.RebuildProjection202ResponseHeaders{Location: projectionHref(name)}}, nil
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
