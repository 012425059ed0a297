package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RotateWebhook implements POST /webhooks/{id}/rotate: the process that sends is asked to read its
// secrets anew. The answer numbers the request; it is followed when GET /webhooks says so.
func (v *Vault) RotateWebhook(ctx context.Context, r contract.RotateWebhookRequestObject) (contract.RotateWebhookResponseObject, error) {
	type rotated struct{ Rotation int64 }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (rotated, error) {
		if _, err := v.webhook(ctx, r.WebhookID); err != nil {
			return rotated{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RotateWebhook, On: r.WebhookID.String()}); err != nil {
			return rotated{}, err
		}
		if err := v.Webhooks.Rotate(ctx, r.WebhookID); err != nil {
			return rotated{}, err
		}
		item, err := v.webhook(ctx, r.WebhookID)
		return rotated{item.RotationsRequested}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RotateWebhook202JSONResponse{
		Body:    contract.WebhookRotation{Rotation: done.Rotation},
		Headers: contract.RotateWebhook202ResponseHeaders{Location: contract.Base + "/webhooks"},
	}, nil
}
