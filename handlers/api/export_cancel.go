package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
)

// errExportEnded refuses to cancel what is over.
var errExportEnded = domain.NewError(domain.Conflict, "exportEnded", "the export has ended already; its file is removed when its time is over")

// CancelExport implements POST /exports/{id}/cancel. Any privacy officer may cancel the export
// of another, which is on record before the export ends. What is cancelled stays so, and is
// recorded once.
func (v *Vault) CancelExport(ctx context.Context, r contract.CancelExportRequestObject) (contract.CancelExportResponseObject, error) {
	type cancelled struct{}
	_, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (cancelled, error) {
		if err := in.ReasonOfAnyKind(r.Body.Reason); err != nil {
			return cancelled{}, err
		}
		m, err := v.ExportManifest(ctx, r.ExportID)
		if err != nil {
			return cancelled{}, err
		}
		if m.State == contract.TaskStateProcessing {
			if err := v.recordAct(ctx, in, audit.Operate{Act: audit.CancelExport, On: m.Export.String(), Reason: r.Body.Reason}); err != nil {
				return cancelled{}, err
			}
			if m, err = v.StopExport(ctx, m); err != nil {
				return cancelled{}, err
			}
		}
		if m.State != contract.TaskStateCancelled {
			return cancelled{}, errExportEnded
		}
		return cancelled{}, nil
	})
	if err != nil {
		return nil, err
	}
	m, err := v.ExportManifest(ctx, r.ExportID)
	if err != nil {
		return nil, err
	}
	return contract.CancelExport200JSONResponse(v.exportItem(m)), nil
}
