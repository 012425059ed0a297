package vault

import (
	"context"
	"errors"
	"fmt"
	"os"

	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/sqlitemodels"
)

// comparingFolder is the folder in a data directory where a process that serves builds read models
// to compare them. What a crash left there the next start removes.
const comparingFolder = "comparing"

// comparer compares read models with the log.
type comparer struct {
	log     eventstore.Store
	inForce func(ctx context.Context, name string, version int) (projections.Snapshot, error)
	within  string // the folder in which folders for what is built are made; "": that for temporary files
}

// compare holds one read model in force against what the log makes of it. It builds that in a
// folder of its own, where personal parts stay sealed, and removes it.
func (c comparer) compare(ctx context.Context, p projections.Projection, told func(leaves int64)) (_ projections.Compared, err error) {
	scratch, err := os.MkdirTemp(c.within, "coffre-readmodels-")
	if err != nil {
		return projections.Compared{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	medium, err := sqlitemodels.Open(scratch)
	if err != nil {
		return projections.Compared{}, err
	}
	return projections.Comparison{
		Store: c.log, Codec: codec.Catalog, InForce: c.inForce, Scratch: medium, Told: told,
		Built: func(ctx context.Context, name string, version int) (projections.Described, error) {
			return sqlitemodels.Snapshot(ctx, scratch, name, version)
		},
	}.Compare(ctx, p)
}

// CompareModels holds each read model in force in a data directory, or in the databases of a
// vault, against what the log makes of it, whether the vault is served or not and without its
// keys. each gets what was found of each model, told the number of events that one was built
// from.
func CompareModels(ctx context.Context, dir DataDir, c Config, told func(leaves int64), each func(projections.Compared) error) (err error) {
	at := c.Stores.In(dir)
	s := &AuditSource{}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.openLog(ctx, at); err != nil {
		return err
	}
	comparing := comparer{log: s.log, inForce: modelsInFolder(at)}
	if OnPostgres(at.ReadModels) {
		medium, err := pgmodels.Open(ctx, at.ReadModels)
		if err != nil {
			return err
		}
		s.onClose(medium.Close)
		comparing.inForce = medium.Snapshot
	}
	for _, p := range newModels().all() {
		found, err := comparing.compare(ctx, p, told)
		if err == nil {
			err = each(found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// modelsInFolder returns what opens the read models in force that lie in files.
func modelsInFolder(at StoresConfig) func(context.Context, string, int) (projections.Snapshot, error) {
	own, _ := SQLiteDir(at.ReadModels)
	folder := own.File(modelsFolder)
	return func(ctx context.Context, name string, version int) (projections.Snapshot, error) {
		found, err := sqlitemodels.Snapshot(ctx, folder, name, version)
		if found == nil || err != nil {
			return nil, err
		}
		return found, nil
	}
}

// compares returns what compares the read models that this process serves, by their names.
func (a *assembly) compares() (func(ctx context.Context, model string, told func(leaves int64)) (projections.Compared, error), error) {
	comparing := comparer{log: a.store, inForce: modelsInFolder(a.places.at), within: a.dir.File(comparingFolder)}
	if shared, ok := a.places.models.(*pgmodels.Medium); ok {
		comparing.inForce = shared.Snapshot
	}
	if err := os.RemoveAll(comparing.within); err != nil {
		return nil, fmt.Errorf("remove what was compared: %w", err)
	}
	return func(ctx context.Context, model string, told func(leaves int64)) (projections.Compared, error) {
		if err := os.MkdirAll(comparing.within, 0o700); err != nil {
			return projections.Compared{}, fmt.Errorf("folder for comparing: %w", err)
		}
		for _, p := range newModels().all() {
			if p.Name() == model {
				return comparing.compare(ctx, p, told)
			}
		}
		return projections.Compared{}, fmt.Errorf("there is no read model %q", model)
	}, nil
}
