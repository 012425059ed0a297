package api

import (
	"context"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/eventstore/jobs"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// listedComparisons bounds a list of comparisons.
const listedComparisons = 20

// comparisonID numbers the id of a comparison among those of its request; the first is the record's.
const comparisonID = 1

// CreateComparison implements POST /comparisons: every read model is compared with what the log
// makes of it, in the background. The answer names the comparison; a request while one is under
// way joins it. Each request is on record before.
func (v *Vault) CreateComparison(ctx context.Context, r contract.CreateComparisonRequestObject) (contract.CreateComparisonResponseObject, error) {
	type begun struct{ Comparison uuid.UUID }
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (begun, error) {
		if err := in.ReasonOfAnyKind(r.Body.Reason); err != nil {
			return begun{}, err
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.CompareModels, Reason: r.Body.Reason}); err != nil {
			return begun{}, err
		}
		job, err := v.StartComparison(ctx, in.ID(comparisonID))
		return begun{job.ID}, err
	})
	if err != nil {
		return nil, err
	}
	item, err := v.comparison(ctx, done.Comparison)
	if err != nil {
		return nil, err
	}
	return contract.CreateComparison202JSONResponse{Body: item, Headers: contract.CreateComparison202ResponseHeaders{Location: item.Href}}, nil
}

// GetComparison implements GET /comparisons/{id}: how a comparison goes, and what it found.
func (v *Vault) GetComparison(ctx context.Context, r contract.GetComparisonRequestObject) (contract.GetComparisonResponseObject, error) {
	item, err := v.comparison(ctx, r.ComparisonID)
	if err != nil {
		return nil, err
	}
	return contract.GetComparison200JSONResponse(item), nil
}

// ListComparisons implements GET /comparisons: the last ones, without what each found.
func (v *Vault) ListComparisons(ctx context.Context, _ contract.ListComparisonsRequestObject) (contract.ListComparisonsResponseObject, error) {
	last, err := v.LastComparisons(ctx, listedComparisons)
	if err != nil {
		return nil, err
	}
	page := contract.ModelComparisons{Self: contract.Base + "/comparisons", Items: []contract.ModelComparison{}}
	for _, job := range last {
		page.Items = append(page.Items, v.comparisonItem(job))
	}
	return contract.ListComparisons200JSONResponse(page), nil
}

// comparison returns a comparison with what it found.
func (v *Vault) comparison(ctx context.Context, id uuid.UUID) (contract.ModelComparison, error) {
	job, models, found, err := v.FindComparison(ctx, id)
	if err != nil {
		return contract.ModelComparison{}, err
	} else if !found {
		return contract.ModelComparison{}, edge.ErrNoResource
	}
	item := v.comparisonItem(job)
	for _, m := range models {
		item.Models = append(item.Models, comparedModel(m))
	}
	return item, nil
}

// comparisonItem returns a comparison as the contract shows it, without what it found.
func (v *Vault) comparisonItem(job jobs.Job) contract.ModelComparison {
	item := contract.ModelComparison{
		Href: contract.ComparisonHref(job.ID), ComparisonID: job.ID, State: comparisonStates[job.State], RequestedAt: job.Requested, BegunAt: job.Begun, EndedAt: job.Ended,
	}
	if !job.Over() {
		item.PollAfter = v.Now().UTC().Add(edge.PollAfter)
	}
	if job.State == jobs.Failed {
		item.Problem = edge.TaskProblem(work.ComparisonProblem(job.Reason))
	}
	return item
}

var comparisonStates = map[jobs.State]contract.ComparisonState{
	jobs.Waiting: contract.ComparisonStateWaiting, jobs.Running: contract.ComparisonStateRunning,
	jobs.Done: contract.ComparisonStateDone, jobs.Failed: contract.ComparisonStateFailed,
}

func comparedModel(m work.ComparedModel) contract.ComparedModel {
	item := contract.ComparedModel{
		Projection: m.Model, Version: m.Version, State: contract.ComparedState(m.State), Taken: m.Taken, Size: m.Events, Rows: m.Rows, Differing: m.Wrong,
		Differences: []contract.ComparedRow{}, Hindrance: contract.ComparisonHindrance(m.Incomplete), StoppedAt: m.Stopped,
	}
	for _, d := range m.Differences {
		row := contract.ComparedRow{Divergence: contract.RowDivergence(d.What), Table: d.Table, Row: d.Row, Columns: d.Columns, Leaf: d.Leaf, Type: d.Type}
		if d.Leaf != nil {
			row.EventID = &d.Event
		}
		item.Differences = append(item.Differences, row)
	}
	return item
}
