package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// ReplayWebhook implements POST /webhooks/{id}/replay: the schedule of failed deliveries, or of
// the one about an event, begins again.
func (v *Vault) ReplayWebhook(ctx context.Context, r contract.ReplayWebhookRequestObject) (contract.ReplayWebhookResponseObject, error) {
	type replayed struct{ Deliveries int64 }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (replayed, error) {
		if _, err := v.webhook(ctx, r.WebhookID); err != nil {
			return replayed{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.ReplayWebhook, On: r.WebhookID.String()}); err != nil {
			return replayed{}, err
		}
		n, err := v.Webhooks.Replay(ctx, r.WebhookID, r.Body.EventID)
		return replayed{n}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.ReplayWebhook200JSONResponse{Deliveries: done.Deliveries}, nil
}
