package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// CreateWebhookSubscription implements POST /webhookSubscriptions: the receiver is asked whether it
// wants to be told, and told of what follows. The key is in the first answer alone, because what is
// kept for repetitions holds ids.
func (v *Vault) CreateWebhookSubscription(ctx context.Context, r contract.CreateWebhookSubscriptionRequestObject) (contract.CreateWebhookSubscriptionResponseObject, error) {
	if v.Subscriptions == nil {
		return nil, edge.ErrNoResource
	}
	type created struct{ ID uuid.UUID }
	key := ""
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (created, error) {
		b := r.Body
		if _, err := signalFilter(in, b.Types, b.DocumentTypes, b.Sources); err != nil {
			return created{}, err
		}
		if b.CitizenRef != nil { // of nobody whom the organisation has no reference of
			lives, err := v.livesOfRef(ctx, in.Actor.Organisation, *b.CitizenRef)
			if err != nil {
				return created{}, err
			}
			if len(lives) == 0 {
				return created{}, edge.ErrNoResource
			}
		}
		// Not given back when the receiver refuses: the call has been made to wherever it leads.
		if err := v.Take(ctx, in.Call, &acting.WebhookActs, acting.Room{ID: in.ID(0)}); err != nil {
			return created{}, err
		}
		if err := v.Subscriptions.Check(ctx, b.URL); err != nil {
			return created{}, err
		}
		s := Subscription{
			ID: in.ID(1), Role: in.Actor.Role, Organisation: in.Actor.Organisation, Signature: string(b.Signature),
			Filter: SubscriptionFilter{Types: b.Types, DocumentTypes: b.DocumentTypes, Sources: b.Sources, CitizenRef: b.CitizenRef},
		}
		if s.Signature == "" {
			s.Signature = string(contract.WebhookSignatureHmac)
		}
		last, err := v.Signals.Last(ctx, s.Role, s.Organisation)
		if err != nil {
			return created{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.CreateSubscription, On: s.ID.String()}); err != nil {
			return created{}, err
		}
		key, err = v.Subscriptions.Add(ctx, s, b.URL, last)
		return created{s.ID}, err
	})
	if err != nil {
		return nil, err
	}
	item, err := v.subscriptionShown(ctx, done.ID, key)
	return contract.CreateWebhookSubscription201JSONResponse{
		Body: item, Headers: contract.CreateWebhookSubscription201ResponseHeaders{Location: subscriptionsPath},
	}, err
}
