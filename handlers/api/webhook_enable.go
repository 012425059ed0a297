package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// EnableWebhook implements POST /webhooks/{id}/enable: a receiver that answered 410 is told
// again, of what waited as well.
func (v *Vault) EnableWebhook(ctx context.Context, r contract.EnableWebhookRequestObject) (contract.EnableWebhookResponseObject, error) {
	type enabled struct{}
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (enabled, error) {
		if _, err := v.webhook(ctx, r.WebhookID); err != nil {
			return enabled{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.EnableWebhook, On: r.WebhookID.String()}); err != nil {
			return enabled{}, err
		}
		return enabled{}, v.Webhooks.Enable(ctx, r.WebhookID)
	})
	if err != nil {
		return nil, err
	}
	item, err := v.webhook(ctx, r.WebhookID)
	return contract.EnableWebhook200JSONResponse(item), err
}
