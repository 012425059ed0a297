package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// EnableWebhookSubscription implements POST /webhookSubscriptions/{id}/enable.
func (v *Vault) EnableWebhookSubscription(ctx context.Context, r contract.EnableWebhookSubscriptionRequestObject) (contract.EnableWebhookSubscriptionResponseObject, error) {
	id := r.WebhookSubscriptionID
	if _, err := operateSubscription(ctx, v, r.Params.IdempotencyKey, id, audit.EnableSubscription, func(ctx context.Context, _ acting.Intent) (none, error) {
		return none{}, v.Subscriptions.Enable(ctx, id)
	}); err != nil {
		return nil, err
	}
	item, err := v.subscriptionShown(ctx, id, "")
	return contract.EnableWebhookSubscription200JSONResponse(item), err
}

// RemoveWebhookSubscription implements POST /webhookSubscriptions/{id}/remove.
func (v *Vault) RemoveWebhookSubscription(ctx context.Context, r contract.RemoveWebhookSubscriptionRequestObject) (contract.RemoveWebhookSubscriptionResponseObject, error) {
	_, err := operateSubscription(ctx, v, r.Params.IdempotencyKey, r.WebhookSubscriptionID, audit.RemoveSubscription, func(ctx context.Context, _ acting.Intent) (none, error) {
		return none{}, v.Subscriptions.Remove(ctx, r.WebhookSubscriptionID)
	})
	if err != nil {
		return nil, err
	}
	return contract.RemoveWebhookSubscription204Response{}, nil
}

// RotateWebhookSubscription implements POST /webhookSubscriptions/{id}/rotate. As when it was made,
// the key is in the first answer alone.
func (v *Vault) RotateWebhookSubscription(ctx context.Context, r contract.RotateWebhookSubscriptionRequestObject) (contract.RotateWebhookSubscriptionResponseObject, error) {
	id, key := r.WebhookSubscriptionID, ""
	if _, err := operateSubscription(ctx, v, r.Params.IdempotencyKey, id, audit.RotateSubscription, func(ctx context.Context, _ acting.Intent) (none, error) {
		var err error
		key, err = v.Subscriptions.Rotate(ctx, id, r.Body.Finish)
		return none{}, err
	}); err != nil {
		return nil, err
	}
	item, err := v.subscriptionShown(ctx, id, key)
	return contract.RotateWebhookSubscription200JSONResponse(item), err
}

// ReplayWebhookSubscription implements POST /webhookSubscriptions/{id}/replay.
func (v *Vault) ReplayWebhookSubscription(ctx context.Context, r contract.ReplayWebhookSubscriptionRequestObject) (contract.ReplayWebhookSubscriptionResponseObject, error) {
	type replayed struct{ Deliveries int64 }
	ask := SubscriptionReplay{Event: r.Body.EventID, From: r.Body.From, Until: r.Body.Until}
	if r.Body.After != "" {
		leaf, err := v.LeafFrom(contract.Base+"/signals", r.Body.After, -1)
		if err != nil {
			return nil, err
		}
		ask.After = &leaf
	}
	done, err := operateSubscription(ctx, v, r.Params.IdempotencyKey, r.WebhookSubscriptionID, audit.ReplaySubscription, func(ctx context.Context, _ acting.Intent) (replayed, error) {
		n, err := v.Subscriptions.Replay(ctx, r.WebhookSubscriptionID, ask)
		return replayed{n}, err
	})
	if err != nil {
		return nil, err
	}
	answer := contract.ReplayWebhookSubscription200JSONResponse{}
	if done.Deliveries >= 0 {
		answer.Deliveries = &done.Deliveries
	}
	return answer, nil
}

// ListWebhookDeliveries implements GET /webhookSubscriptions/{id}/deliveries.
func (v *Vault) ListWebhookDeliveries(ctx context.Context, r contract.ListWebhookDeliveriesRequestObject) (contract.ListWebhookDeliveriesResponseObject, error) {
	id := r.WebhookSubscriptionID
	if _, err := v.subscription(ctx, v.NewIntent(ctx).Actor, id); err != nil {
		return nil, err
	}
	path := subscriptionsPath + "/" + id.String() + "/deliveries"
	from, err := v.LeafFrom(path, r.Params.After, -1)
	if err != nil {
		return nil, err
	}
	size, links := edge.PageSize(r.Params.PageSize), edge.LinksTo(path).Number("pageSize", r.Params.PageSize)
	page := contract.WebhookDeliveries{Self: links.At(r.Params.After), Items: []contract.WebhookDelivery{}, PageSize: size}
	all, err := v.Subscriptions.Deliveries(ctx, id, from, size+1)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		page.Items, from = append(page.Items, contract.WebhookDelivery{
			Href: path, EventID: d.Event, State: contract.WebhookDeliveryState(d.State), Attempts: d.Attempts, Status: d.Status, Reason: d.Reason, NextAt: d.Next, CreatedAt: d.Created, ChangedAt: d.Changed,
		}), d.Leaf
	}
	return contract.ListWebhookDeliveries200JSONResponse(page), nil
}
