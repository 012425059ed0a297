package api

import (
	"context"

	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
)

// ListProjections implements GET /projections: every read model with its
// state and its position in the log.
func (v *Vault) ListProjections(ctx context.Context, r contract.ListProjectionsRequestObject) (contract.ListProjectionsResponseObject, error) {
	all, err := v.Runner.Status(ctx)
	if err != nil {
		return nil, err
	}
	page := contract.Projections{Self: projectionHref(r.Params.Name), Items: []contract.Projection{}}
	for _, s := range all {
		if r.Params.Name == "" || r.Params.Name == s.Name {
			page.Items = append(page.Items, projectionItem(s))
		}
	}
	return contract.ListProjections200JSONResponse(page), nil
}

func projectionItem(s projections.Status) contract.Projection {
	item := contract.Projection{
		Href: projectionHref(s.Name), Name: s.Name, Version: s.Version, State: contract.ProjectionStateCatchingUp, Applied: s.Leaf + 1, Behind: s.Lag,
	}
	if s.Leaf >= 0 {
		item.Position = contract.LeafToken(s.Leaf)
	}
	switch s.State {
	case projections.Live:
		item.State = contract.ProjectionStateLive
	case projections.Rebuilding:
		item.State = contract.ProjectionStateRebuilding
		if s.HeadLeaf >= 0 {
			item.Rebuilding = new(int(100 * min(s.RebuiltTo+1, s.HeadLeaf+1) / (s.HeadLeaf + 1)))
		}
	case projections.PoisonedAt, projections.Stopped, projections.Failing:
		item.State = contract.ProjectionStateStopped
	}
	if s.PoisonedLeaf >= 0 {
		item.StoppedAt = contract.LeafToken(s.PoisonedLeaf)
	}
	return item
}

func projectionHref(name string) contract.Href {
	return edge.LinksTo(contract.Base+"/projections").Text("name", name).At("")
}
