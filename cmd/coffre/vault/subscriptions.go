package vault

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/api"
	"coffre/handlers/reactors/webhook"
)

// webhookOrigin is what a receiver is asked to admit.
const webhookOrigin = "coffre"

// subscriptions is the book of the webhooks of organisations, and implements api.Subscriptions.
type subscriptions struct {
	book   *webhook.Book
	policy webhook.Policy
}

// Of implements api.Subscriptions.
func (s subscriptions) Of(ctx context.Context, role domain.Role, o domain.Organisation) ([]api.Subscription, error) {
	all, err := s.book.Of(ctx, role, o)
	shown := make([]api.Subscription, 0, len(all))
	for _, one := range all {
		shown = append(shown, subscriptionShown(one))
	}
	return shown, err
}

func subscriptionShown(s webhook.Subscription) api.Subscription {
	return api.Subscription{
		ID: s.ID, Role: s.Role, Organisation: s.Organisation, Host: s.Host, Signature: string(s.Signature), Keys: s.Keys,
		Filter: api.SubscriptionFilter(s.Filter), Gone: s.Ended, Resume: s.Resume, Created: s.Created, Pending: s.Pending, Failed: s.Failed,
	}
}

// Check implements api.Subscriptions.
func (s subscriptions) Check(ctx context.Context, url string) error {
	to, err := webhook.ParseEndpoint(url, s.policy)
	if err != nil {
		return err
	}
	return webhook.Handshake(ctx, to, nil, webhookOrigin)
}

// Add implements api.Subscriptions.
func (s subscriptions) Add(ctx context.Context, made api.Subscription, url string, leaf int64) (string, error) {
	to, err := webhook.ParseEndpoint(url, s.policy)
	if err != nil {
		return "", err
	}
	return s.book.Add(ctx, webhook.Subscription{
		ID: made.ID, Role: made.Role, Organisation: made.Organisation, Signature: webhook.Signature(made.Signature), Filter: webhook.Filter(made.Filter),
	}, to, leaf)
}

// Enable implements api.Subscriptions.
func (s subscriptions) Enable(ctx context.Context, id uuid.UUID) error { return s.book.Enable(ctx, id) }

// Remove implements api.Subscriptions.
func (s subscriptions) Remove(ctx context.Context, id uuid.UUID) error { return s.book.Remove(ctx, id) }

// Rotate implements api.Subscriptions.
func (s subscriptions) Rotate(ctx context.Context, id uuid.UUID, finish bool) (string, error) {
	return s.book.Rotate(ctx, id, finish)
}

// Replay implements api.Subscriptions.
func (s subscriptions) Replay(ctx context.Context, id uuid.UUID, r api.SubscriptionReplay) (int64, error) {
	return s.book.Replay(ctx, id, webhook.Replayed(r))
}

// Deliveries implements api.Subscriptions.
func (s subscriptions) Deliveries(ctx context.Context, id uuid.UUID, after int64, limit int) ([]api.SubscriptionDelivery, error) {
	all, err := s.book.Deliveries(ctx, id, after, limit)
	shown := make([]api.SubscriptionDelivery, 0, len(all))
	for _, d := range all {
		shown = append(shown, api.SubscriptionDelivery{
			Leaf: d.Leaf, Event: d.Event, State: string(d.State), Reason: d.Reason, Attempts: d.Attempts, Status: d.Status, Next: d.Next, Created: d.Created, Changed: d.Changed,
		})
	}
	return shown, err
}

// signalsFor lets the sender ask the core what a webhook may be told.
func signalsFor(core *api.Vault) func(context.Context, webhook.Subscription, int64, int) ([]webhook.Signal, int64, error) {
	return func(ctx context.Context, s webhook.Subscription, after int64, limit int) ([]webhook.Signal, int64, error) {
		all, last, err := core.SignalsFor(ctx, subscriptionShown(s), after, limit)
		told := make([]webhook.Signal, 0, len(all))
		for _, one := range all {
			told = append(told, webhook.Signal(one))
		}
		return told, last, err
	}
}
