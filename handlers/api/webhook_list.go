package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// Webhooks is the port to the webhook that tells others of changes, whichever process sends. Its
// methods return edge.ErrNoResource or a refusal of their own for an id that is not its.
type Webhooks interface {
	// List returns the webhook; nothing where none was ever configured.
	List(ctx context.Context) ([]WebhookState, error)
	// Enable lets deliveries go again to a receiver that answered 410.
	Enable(ctx context.Context, id uuid.UUID) error
	// Replay starts the failed deliveries again, or the one about an event, and returns how many.
	Replay(ctx context.Context, id uuid.UUID, event *uuid.UUID) (int64, error)
	// Rotate asks the sender to read its secrets anew.
	Rotate(ctx context.Context, id uuid.UUID) error
}

// WebhookState is how the webhook does.
type WebhookState struct {
	ID              uuid.UUID
	Host            string
	Disabled        time.Time // since when, after the receiver answered 410; zero: it is not
	Resume          time.Time // nothing is sent before; zero: no such wish
	Pending, Failed int64
	Oldest          time.Time // the oldest pending notice; zero: none
	Secrets         []string  // fingerprints of those that sign
	Asked, Followed int64     // requests to read the secrets anew, and the last that was followed
	Refused         bool      // what was read then was no secret
}

// ListWebhooks implements GET /webhooks: the webhook of this vault, if there is one.
func (v *Vault) ListWebhooks(ctx context.Context, _ contract.ListWebhooksRequestObject) (contract.ListWebhooksResponseObject, error) {
	answer := contract.ListWebhooks200JSONResponse{Self: contract.Base + "/webhooks", Items: []contract.Webhook{}}
	if v.Webhooks == nil {
		return answer, nil
	}
	all, err := v.Webhooks.List(ctx)
	for _, s := range all {
		answer.Items = append(answer.Items, webhookItem(s))
	}
	return answer, err
}

// webhook returns the webhook with the id.
func (v *Vault) webhook(ctx context.Context, id uuid.UUID) (contract.Webhook, error) {
	if v.Webhooks == nil {
		return contract.Webhook{}, edge.ErrNoResource
	}
	all, err := v.Webhooks.List(ctx)
	if err != nil {
		return contract.Webhook{}, err
	}
	i := slices.IndexFunc(all, func(s WebhookState) bool { return s.ID == id })
	if i < 0 {
		return contract.Webhook{}, edge.ErrNoResource
	}
	return webhookItem(all[i]), nil
}

func webhookItem(s WebhookState) contract.Webhook {
	item := contract.Webhook{
		Href: contract.Base + "/webhooks", WebhookID: s.ID, Host: s.Host, State: contract.WebhookStateEnabled,
		DisabledAt: s.Disabled, ResumeAt: s.Resume, Pending: s.Pending, Failed: s.Failed, OldestPendingAt: s.Oldest,
		Secrets: s.Secrets, RotationsRequested: s.Asked, RotationsFollowed: s.Followed, RotationRefused: s.Refused,
	}
	if !s.Disabled.IsZero() {
		item.State = contract.WebhookStateDisabled
	}
	return item
}
