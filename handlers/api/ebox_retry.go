package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// RetryEboxMessages implements POST /eboxMessages/retry.
func (v *Vault) RetryEboxMessages(ctx context.Context, r contract.RetryEboxMessagesRequestObject) (contract.RetryEboxMessagesResponseObject, error) {
	type retried struct{ Messages int64 }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (retried, error) {
		if v.Ebox == nil {
			return retried{}, edge.ErrNoResource
		}
		on := ""
		if r.Body.MessageID != nil {
			on = r.Body.MessageID.String()
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RetryEbox, On: on, Reason: r.Body.Reason}); err != nil {
			return retried{}, err
		}
		n, err := v.Ebox.Retry(ctx, r.Body.MessageID)
		return retried{n}, noPoison(err)
	})
	if err != nil {
		return nil, err
	}
	return contract.RetryEboxMessages200JSONResponse{Messages: done.Messages}, nil
}
