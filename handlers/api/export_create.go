package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/work"
	"coffre/projections/consentlog"
)

// CreateExport implements POST /exports. The export is on record before there is a file; the
// file is written in the background.
func (v *Vault) CreateExport(ctx context.Context, r contract.CreateExportRequestObject) (contract.CreateExportResponseObject, error) {
	type created struct {
		Export uuid.UUID
		At     contract.PositionToken
	}
	key := r.Params.IdempotencyKey
	done, err := acting.Once(ctx, v.Recorder, key, func(ctx context.Context, in acting.Intent) (_ created, err error) {
		if err := checkExportCodes(in, r.Body); err != nil {
			return created{}, err
		}
		id := uuid.NewSHA1(key, []byte(acting.RequestOwner(in.Call)))
		if err := v.Take(ctx, in.Call, &acting.Exports, acting.Room{ID: id, Until: in.At.Add(work.ExportLifetime)}); err != nil {
			return created{}, err
		}
		defer func() { v.FreeIfRefused(&acting.Exports, id, err) }()
		result, err := acting.Audits.Transact(ctx, v.Log, in.Write(0, acting.AuditStream(in.At), acting.NoCitizen), audit.Record{Event: audit.ExportCreated{
			Export: id, Kind: string(r.Body.Kind), Format: string(r.Body.Format), Consumer: r.Body.Consumer, Purpose: r.Body.Purpose,
			From: r.Body.From, Until: r.Body.Until, Reason: r.Body.Reason, At: in.At,
		}})
		if err != nil {
			return created{}, fmt.Errorf("record the export: %w", err)
		}
		m := work.ExportManifest{
			Export: id, Kind: r.Body.Kind, Format: r.Body.Format, State: contract.TaskStateProcessing, Created: in.At,
			Filter: consentlog.Filter{Consumer: r.Body.Consumer, Purpose: r.Body.Purpose, From: r.Body.From, Until: r.Body.Until},
		}
		if err := v.SaveExport(ctx, m); err != nil {
			return created{}, err
		}
		v.EnqueueExport(m)
		at, err := v.PositionToken(ctx, result.Position)
		return created{id, at}, err
	})
	if err != nil {
		return nil, err
	}
	m, err := v.ExportManifest(ctx, done.Export)
	if err != nil {
		return nil, err
	}
	item := v.exportItem(m)
	return contract.CreateExport202JSONResponse{Body: item, Headers: contract.CreateExport202ResponseHeaders{CoffrePosition: done.At, Location: item.Href}}, nil
}

// checkExportCodes refuses codes that are not in the registry, for they are recorded in clear.
func checkExportCodes(in acting.Intent, body *contract.ExportCreate) error {
	if err := acting.CheckWords(in.OrganisationAt("consumer", body.Consumer), in.PurposeAt("purpose", body.Purpose)); err != nil {
		return err
	}
	return in.ReasonOfAnyKind(body.Reason)
}
