package api

import (
	"context"

	"coffre/handlers/contract"
)

// ListReactors implements GET /reactors: every reactor that ever ran, and how far it is.
func (v *Vault) ListReactors(ctx context.Context, _ contract.ListReactorsRequestObject) (contract.ListReactorsResponseObject, error) {
	answer := contract.ListReactors200JSONResponse{Self: contract.Base + "/reactors", Items: []contract.Reactor{}}
	if v.Reactors == nil {
		return answer, nil
	}
	all, err := v.Reactors.List(ctx)
	for _, s := range all {
		answer.Items = append(answer.Items, reactorItem(s))
	}
	return answer, err
}
