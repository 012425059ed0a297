package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/projections/consentlog"
)

// CreateExport implements POST /exports. That it is made is on record before there
// is a file; the file is made in the background.
func (v *Vault) CreateExport(ctx context.Context, r contract.CreateExportRequestObject) (contract.CreateExportResponseObject, error) {
	type created struct {
		Export uuid.UUID
		At     contract.PositionToken
	}
	key := r.Params.IdempotencyKey
	done, err := once(ctx, v, key, func(ctx context.Context, in intent) (created, error) {
		if err := in.exportWords(r.Body); err != nil {
			return created{}, err
		}
		id := uuid.NewSHA1(key, []byte(owner(in.call)))
		result, err := audits.Transact(ctx, v.Log, in.write(0, auditStream(in.at), noCitizen), audit.Record{Event: audit.ExportCreated{
			Export: id, Kind: string(r.Body.Kind), Format: string(r.Body.Format), Consumer: r.Body.Consumer, Purpose: r.Body.Purpose,
			From: r.Body.From, Until: r.Body.Until, Reason: r.Body.Reason, At: in.at,
		}})
		if err != nil {
			return created{}, fmt.Errorf("record the export: %w", err)
		}
		m := manifest{
			Export: id, Kind: r.Body.Kind, Format: r.Body.Format, State: contract.TaskStateProcessing, Created: in.at,
			Filter: consentlog.Filter{Consumer: r.Body.Consumer, Purpose: r.Body.Purpose, From: r.Body.From, Until: r.Body.Until},
		}
		if err := v.keepManifest(m); err != nil {
			return created{}, err
		}
		v.makeExport(m)
		at, err := v.position(ctx, result.Position)
		return created{id, at}, err
	})
	if err != nil {
		return nil, err
	}
	m, err := v.manifest(done.Export)
	if err != nil {
		return nil, err
	}
	item := v.exportItem(m)
	return contract.CreateExport202JSONResponse{Body: item, Headers: contract.CreateExport202ResponseHeaders{CoffrePosition: done.At, Location: item.Href}}, nil
}

// exportWords refuses what the registry has no word for: it is recorded in clear.
func (in intent) exportWords(body *contract.ExportCreate) error {
	if body.Consumer != "" {
		if _, known := in.words.Organisation(body.Consumer); !known {
			return errUnknownWord
		}
	}
	if body.Purpose != "" {
		if _, known := in.words.Purpose(body.Purpose); !known {
			return errUnknownWord
		}
	}
	if body.Reason != "" && !slices.ContainsFunc(registry.ReasonKinds, func(k registry.ReasonKind) bool { return in.words.Reason(k, body.Reason) }) {
		return errReason
	}
	return nil
}

// exportLife is how old exports get.
const exportLife = 7 * 24 * time.Hour
