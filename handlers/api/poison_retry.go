package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// RetryPoison implements POST /poisonedEvents/retry.
func (v *Vault) RetryPoison(ctx context.Context, r contract.RetryPoisonRequestObject) (contract.RetryPoisonResponseObject, error) {
	if err := v.operatePoison(ctx, r.Params.IdempotencyKey, audit.RetryPoison, *r.Body, Reactors.Retry); err != nil {
		return nil, err
	}
	return contract.RetryPoison204Response{}, nil
}

// operatePoison records an act on an event that was set aside, and does it.
func (v *Vault) operatePoison(ctx context.Context, key uuid.UUID, act audit.Act, ask contract.PoisonAct, do func(Reactors, context.Context, string, int64) error) error {
	type done struct{}
	_, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (done, error) {
		if v.Reactors == nil {
			return done{}, edge.ErrNoResource
		}
		if _, err := v.Reactors.Poison(ctx, ask.Reactor, ask.Leaf); err != nil {
			return done{}, noPoison(err)
		}
		on := fmt.Sprintf("%s/%d", ask.Reactor, ask.Leaf)
		if err := v.recordAct(ctx, in, audit.Operate{Act: act, On: on, Reason: ask.Reason}); err != nil {
			return done{}, err
		}
		return done{}, noPoison(do(v.Reactors, ctx, ask.Reactor, ask.Leaf))
	})
	return err
}
