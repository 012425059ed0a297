package api

import (
	"context"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// RotateAudit implements POST /keys/rotateAudit: a new key under which the log names those
// who act.
func (v *Vault) RotateAudit(ctx context.Context, r contract.RotateAuditRequestObject) (contract.RotateAuditResponseObject, error) {
	state, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (contract.AuditKeyState, error) {
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.RotateAudit}); err != nil {
			return contract.AuditKeyState{}, err
		}
		version, err := v.RotateAuditKey(ctx)
		return contract.AuditKeyState{Version: version}, err
	})
	if err != nil {
		return nil, err
	}
	return contract.RotateAudit200JSONResponse(state), nil
}
