package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"coffre/eventstore/codec"
	"coffre/projections"
	"coffre/projections/sqlitemodels"
)

// nextModelsFolder is where read models are built beside those that answer, on the same file
// system, so that they come to their place whole or not at all.
const nextModelsFolder = "readmodels.next"

// errModelsOnServer refuses to prepare what needs no preparation.
var errModelsOnServer = errors.New("read models in PostgreSQL are built by the first process of a release, while those of the release before answer: start it")

// PreparedModels tells which read models were built beside those that answer.
type PreparedModels struct {
	Built  []string `json:"built"`  // names; none where all were there
	Events int64    `json:"events"` // that each of them has taken in
}

// PrepareModels builds the read models of this program that a data directory lacks, while a
// process of another release may serve it and answers from its own. It needs no key. The next
// process of this program takes in what came since, and puts them in force. What a killed
// preparation left is removed by the next one; two at a time are refused with ErrOwned.
func PrepareModels(ctx context.Context, dir DataDir, c Config, logger *slog.Logger) (PreparedModels, error) {
	return prepareModels(ctx, dir, c, logger, newModels().all())
}

func prepareModels(ctx context.Context, dir DataDir, c Config, logger *slog.Logger, all []projections.Projection) (done PreparedModels, err error) {
	at := c.Stores.In(dir)
	own, inFiles := SQLiteDir(at.ReadModels)
	if !inFiles {
		return done, errModelsOnServer
	}
	s := &AuditSource{}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.openLog(ctx, at); err != nil { // before anything is made
		return done, err
	}
	place, err := sqlitemodels.Open(own.File(modelsFolder))
	if err != nil {
		return done, err
	}
	var lacking []projections.Projection
	for _, p := range all {
		there, err := place.Complete(p.Name(), p.Version())
		if err != nil {
			return done, err
		}
		if !there {
			lacking = append(lacking, p)
		}
	}
	if len(lacking) == 0 {
		return done, nil
	}
	beside := DataDir(own.File(nextModelsFolder))
	release, err := beside.Own()
	if err != nil {
		return done, fmt.Errorf("prepare read models: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(string(beside)), release()) }()
	scratch := beside.File(modelsFolder)
	if err := os.RemoveAll(scratch); err != nil { // a killed preparation's
		return done, fmt.Errorf("prepare read models: %w", err)
	}
	medium, err := sqlitemodels.Open(scratch)
	if err != nil {
		return done, err
	}
	if done.Events, err = s.buildOnce(ctx, medium, logger, lacking); err != nil {
		return done, err
	}
	for _, p := range lacking {
		if err := place.Adopt(medium, p.Name(), p.Version()); err != nil {
			return done, err
		}
		done.Built = append(done.Built, p.Name())
	}
	return done, nil
}

// buildOnce builds read models from the log as it is now, closes them and returns how many
// events they have taken in at least.
func (s *AuditSource) buildOnce(ctx context.Context, medium projections.Medium, logger *slog.Logger, models []projections.Projection) (events int64, err error) {
	runner, err := projections.New(projections.Options{Medium: medium, Store: s.log, Codec: codec.Catalog, Logger: logger}, models...)
	if err != nil {
		return 0, err
	}
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(running) }()
	caught := runner.CatchUp(ctx)
	status, known := runner.Status(ctx)
	end()
	if err := errors.Join(caught, known, <-ended); err != nil {
		return 0, fmt.Errorf("prepare read models: %w", err)
	}
	events = status[0].Leaf + 1
	for _, one := range status {
		events = min(events, one.Leaf+1)
	}
	return events, nil
}
