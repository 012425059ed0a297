package api

import (
	"context"

	"coffre/handlers/contract"
)

// poisonListed is how many events that were set aside are listed at most.
const poisonListed = 200

// ListPoison implements GET /poisonedEvents: events that no try of a reactor could handle.
func (v *Vault) ListPoison(ctx context.Context, _ contract.ListPoisonRequestObject) (contract.ListPoisonResponseObject, error) {
	answer := contract.ListPoison200JSONResponse{Self: contract.Base + "/poisonedEvents", Items: []contract.Poison{}}
	if v.Reactors == nil {
		return answer, nil
	}
	all, err := v.Reactors.SetAside(ctx, poisonListed)
	for _, p := range all {
		answer.Items = append(answer.Items, contract.Poison{
			Href: contract.Base + "/poisonedEvents", Reactor: p.Reactor, Leaf: p.Leaf, EventID: p.Event, Type: p.Type,
			Reason: p.Reason, Attempts: p.Attempts, TriedAt: p.Tried,
		})
	}
	return answer, err
}
