package work

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/jobs"
	"coffre/projections"
)

const (
	// comparisonJob is the kind of the jobs that compare all read models with the log, and
	// comparedThings what they are done to: one goes on at a time.
	comparisonJob  = "comparison"
	comparedThings = "readModels"
	// toldDifferences bounds the rows that a comparison names of each read model.
	toldDifferences = 20
	// toldEvery is the time between two notes of how far a comparison is.
	toldEvery = 2 * time.Second
)

var errComparisonFailed = domain.NewError(domain.Unavailable, "comparisonFailed", "the read models could not all be compared with the log, and what was found until then is told; the server's log says why; ask for a new comparison")

// ComparisonProblem returns why a comparison failed; a reason that a later release recorded is
// told as failed.
func ComparisonProblem(reason string) *domain.Error {
	if reason == errInterrupted.Slug {
		return errInterrupted
	}
	return errComparisonFailed
}

// ModelState is how far a comparison is with a read model.
type ModelState string

// States of a read model in a comparison.
const (
	ModelWaits    ModelState = "waiting"
	ModelTaken    ModelState = "comparing"
	ModelCompared ModelState = "compared"
)

// ComparedModel is what a comparison found of one read model so far. It is kept as JSON, for
// every process to tell.
type ComparedModel struct {
	projections.Compared
	State ModelState `json:"state"`
	Taken int64      `json:"taken"` // events of the log that were taken in for it
}

// StartComparison asks durably for a comparison of all read models with the log under an id,
// enqueues it and returns it. Where one is under way, in whatever process, that one is returned,
// and where this one was asked for before, it is.
func (work *Worker) StartComparison(ctx context.Context, id uuid.UUID) (jobs.Job, error) {
	return work.job(ctx, id, comparisonJob, comparedThings, func(ctx context.Context) string { return work.compareReadModels(ctx, id) })
}

// compareReadModels compares all read models and returns why that failed, a slug, or "".
func (work *Worker) compareReadModels(ctx context.Context, id uuid.UUID) (reason string) {
	err := task{run: func(ctx context.Context) error { return work.compareEach(ctx, id) }}.attempt(ctx)
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return errInterrupted.Slug
	}
	work.Slog.ErrorContext(ctx, "the read models were not compared", slog.Any("error", err))
	return errComparisonFailed.Slug
}

func (work *Worker) compareEach(ctx context.Context, id uuid.UUID) error {
	all, err := work.Runner.Status(ctx)
	if err != nil {
		return err
	}
	models := make([]ComparedModel, len(all))
	note := func(i int) error {
		found, err := json.Marshal(models[i])
		if err != nil {
			return err
		}
		return work.jobs.Note(ctx, id, i, found)
	}
	for i, s := range all {
		models[i] = ComparedModel{Compared: projections.Compared{Model: s.Name, Version: s.Version}, State: ModelWaits}
		if err := note(i); err != nil {
			return err
		}
	}
	for i := range models {
		m := &models[i]
		m.State = ModelTaken
		if err := note(i); err != nil {
			return err
		}
		noted := work.Now()
		m.Compared, err = work.compare(ctx, m.Model, func(leaves int64) {
			m.Taken += leaves
			if now := work.Now(); now.Sub(noted) >= toldEvery && note(i) == nil { // what is not noted, the next note tells
				noted = now
			}
		})
		if err != nil {
			return fmt.Errorf("compare %s: %w", all[i].Name, err)
		}
		m.State, m.Differences = ModelCompared, m.Differences[:min(len(m.Differences), toldDifferences)]
		if err := note(i); err != nil {
			return err
		}
	}
	return nil
}

// FindComparison returns a comparison and what it found so far, by read model; found is false
// when none has the id, or is still remembered.
func (work *Worker) FindComparison(ctx context.Context, id uuid.UUID) (_ jobs.Job, _ []ComparedModel, found bool, err error) {
	job, found, err := work.jobs.Find(ctx, id)
	if err != nil || !found || job.Kind != comparisonJob {
		return jobs.Job{}, nil, false, err
	}
	kept, err := work.jobs.Findings(ctx, id)
	if err != nil {
		return jobs.Job{}, nil, false, err
	}
	models := make([]ComparedModel, len(kept))
	for i, text := range kept {
		if err := json.Unmarshal(text, &models[i]); err != nil {
			return jobs.Job{}, nil, false, fmt.Errorf("read what a comparison found: %w", err)
		}
	}
	return job, models, true, nil
}

// LastComparisons returns the n comparisons that were asked for last, the newest first.
func (work *Worker) LastComparisons(ctx context.Context, n int) ([]jobs.Job, error) {
	return work.jobs.Last(ctx, comparisonJob, n)
}
