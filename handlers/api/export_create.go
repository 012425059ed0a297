package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
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
		m := work.ExportManifest{
			Export: id, Kind: r.Body.Kind, Format: r.Body.Format, Dialect: r.Body.Dialect, Separator: r.Body.Separator, State: contract.TaskStateProcessing, Created: in.At,
			Filter: consentlog.Filter{Consumer: r.Body.Consumer, Purpose: r.Body.Purpose, From: r.Body.From, Until: r.Body.Until},
		}
		onePerson, citizen, err := v.narrowExport(ctx, &m, r.Body)
		if err != nil {
			return created{}, err
		}
		if err := v.Take(ctx, in.Call, &acting.Exports, acting.Room{ID: id, Until: in.At.Add(work.ExportLifetime)}); err != nil {
			return created{}, err
		}
		defer func() { v.FreeIfRefused(&acting.Exports, id, err) }()
		result, err := acting.Audits.Transact(ctx, v.Log, in.Write(0, acting.AuditStream(in.At), acting.NoCitizen), audit.Record{Event: audit.ExportCreated{
			Export: id, Kind: string(r.Body.Kind), Format: string(r.Body.Format), Consumer: r.Body.Consumer, Purpose: r.Body.Purpose,
			OnePerson: onePerson, Citizen: citizen, From: r.Body.From, Until: r.Body.Until, AsOf: r.Body.AsOf, Reason: r.Body.Reason, At: in.At,
		}})
		if err != nil {
			return created{}, fmt.Errorf("record the export: %w", err)
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

// narrowExport narrows an export to the person whom the request names, by every name that it
// has, and to what was known at a moment. onePerson is false when the request names nobody;
// citizen is absent when the vault does not know the person, whose file has no rows.
func (v *Vault) narrowExport(ctx context.Context, m *work.ExportManifest, b *contract.ExportCreate) (onePerson bool, citizen domain.CitizenID, err error) {
	if b.AsOf != nil {
		leaf, err := v.leafAt(ctx, *b.AsOf)
		if err != nil {
			return false, citizen, err
		}
		m.AsOf, m.Leaf = b.AsOf, &leaf
	}
	var named []domain.CitizenID
	name := func(id domain.CitizenID, err error) error {
		named = append(named, id)
		return err
	}
	if !b.SSIN.IsZero() {
		err = name(v.Resolve(ctx, edge.CallFrom(ctx), b.SSIN, nil))
	}
	if b.CitizenRef != nil && err == nil {
		err = name(v.CitizenOfExport(ctx, *b.CitizenRef))
	}
	if b.CitizenID != nil && err == nil {
		err = name(v.Survivor(ctx, *b.CitizenID))
	}
	if err != nil || len(named) == 0 {
		return false, citizen, err
	}
	if slices.ContainsFunc(named, func(id domain.CitizenID) bool { return id.IsZero() || id != named[0] }) {
		m.Filter.Citizen = &domain.CitizenID{UUID: m.Export} // whom nobody is
		return true, citizen, nil
	}
	person, err := v.LoadPerson(ctx, named[0])
	if err != nil {
		return true, citizen, err
	}
	m.Filter.Citizen, m.Former = &person.ID, person.Lives[1:]
	return true, person.ID, nil
}

// checkExportCodes refuses codes that are not in the registry, for they are recorded in clear.
func checkExportCodes(in acting.Intent, body *contract.ExportCreate) error {
	if err := acting.CheckWords(in.OrganisationAt("consumer", body.Consumer), in.PurposeAt("purpose", body.Purpose)); err != nil {
		return err
	}
	return in.ReasonOfAnyKind(body.Reason)
}
