package vault

import (
	"context"
	"errors"
	"os"

	"coffre/eventstore/codec"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/sqlitemodels"
)

// CompareModels holds each read model in force in a data directory, or in the databases of a
// vault, against what the log makes of it, whether the vault is served or not and without its
// keys. It builds them in a folder of its own, where personal parts stay sealed, and removes that.
// each gets what was found of each model, told the number of events that one was built from.
func CompareModels(ctx context.Context, dir DataDir, c Config, told func(leaves int64), each func(projections.Compared) error) (err error) {
	at := c.Stores.In(dir)
	s := &AuditSource{}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.openLog(ctx, at); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "coffre-readmodels-")
	if err != nil {
		return err
	}
	s.onClose(func() error { return os.RemoveAll(scratch) })
	medium, err := sqlitemodels.Open(scratch)
	if err != nil {
		return err
	}
	inForce, err := s.modelsInForce(ctx, at)
	if err != nil {
		return err
	}
	comparison := projections.Comparison{
		Store: s.log, Codec: codec.Catalog, InForce: inForce, Scratch: medium, Told: told,
		Built: func(ctx context.Context, name string, version int) (projections.Described, error) {
			return sqlitemodels.Snapshot(ctx, scratch, name, version)
		},
	}
	for _, p := range newModels().all() {
		found, err := comparison.Compare(ctx, p)
		if err == nil {
			err = each(found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// modelsInForce returns what opens the read models in force.
func (s *AuditSource) modelsInForce(ctx context.Context, at StoresConfig) (func(context.Context, string, int) (projections.Snapshot, error), error) {
	if OnPostgres(at.ReadModels) {
		medium, err := pgmodels.Open(ctx, at.ReadModels)
		if err != nil {
			return nil, err
		}
		s.onClose(medium.Close)
		return medium.Snapshot, nil
	}
	own, _ := SQLiteDir(at.ReadModels)
	folder := own.File(modelsFolder)
	return func(ctx context.Context, name string, version int) (projections.Snapshot, error) {
		found, err := sqlitemodels.Snapshot(ctx, folder, name, version)
		if found == nil || err != nil {
			return nil, err
		}
		return found, nil
	}, nil
}
