package api

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/jobs"
	"coffre/handlers/contract"
	"coffre/projections"
)

var auditor = officeCaller(domain.RoleAuditor)

// askComparison asks for a comparison of the read models under a key.
func (tv *testVault) askComparison(t *testing.T, key uuid.UUID) contract.ModelComparison {
	t.Helper()
	body := contract.ComparisonCreate{Reason: "audit"}
	answer, err := tv.CreateComparison(tv.as(t, auditor, "createComparison", body), contract.CreateComparisonRequestObject{
		Params: contract.CreateComparisonParams{IdempotencyKey: key}, Body: &body,
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := answer.(contract.CreateComparison202JSONResponse)
	if asked.Headers.Location != asked.Body.Href || asked.Body.Href != contract.ComparisonHref(asked.Body.ComparisonID) {
		t.Errorf("it is to be found at %q and %q", asked.Headers.Location, asked.Body.Href)
	}
	return asked.Body
}

// comparisonOf returns how a comparison goes.
func (tv *testVault) comparisonOf(t *testing.T, id uuid.UUID) contract.ModelComparison {
	t.Helper()
	answer, err := tv.GetComparison(tv.as(t, auditor, "getComparison", nil), contract.GetComparisonRequestObject{ComparisonID: id})
	if err != nil {
		t.Fatal(err)
	}
	return contract.ModelComparison(answer.(contract.GetComparison200JSONResponse))
}

// comparing is a comparison of one read model after the other, each held up until it may end.
type comparing struct {
	begun chan string
	end   chan projections.Compared
	fails error
}

func (c comparing) compare(ctx context.Context, model string, told func(int64)) (projections.Compared, error) {
	told(1500)
	c.begun <- model
	select {
	case found := <-c.end:
		found.Model = model
		return found, c.fails
	case <-ctx.Done():
		return projections.Compared{}, ctx.Err()
	}
}

// A comparison is on record with its reason before it begins, one goes on at a time, and whoever
// asks sees how far it is and what was found so far.
func TestComparisonIsFollowedToItsEnd(t *testing.T) {
	tv := newVault(t)
	c := comparing{begun: make(chan string), end: make(chan projections.Compared)}
	tv.restart(func(s *settings) { s.Work.Compare = c.compare })
	key := uuid.New()
	asked := tv.askComparison(t, key)
	if asked.State == contract.ComparisonStateDone || !asked.RequestedAt.Equal(noon) || asked.PollAfter.IsZero() {
		t.Fatalf("asked for: %+v", asked)
	}
	first := <-c.begun
	for _, k := range []uuid.UUID{key, uuid.New()} {
		if joined := tv.askComparison(t, k); joined.ComparisonID != asked.ComparisonID {
			t.Error("a comparison that goes on is not joined")
		}
	}
	var on []audit.Operated
	for _, o := range recorded[audit.Operated](t, tv) {
		if o.Act == audit.CompareModels {
			on = append(on, o)
		}
	}
	if len(on) != 2 || on[0].Reason != "audit" || on[0].On != "" {
		t.Errorf("on record: %+v", on)
	}
	leaf, differ := int64(4), make([]projections.Difference, 30)
	for i := range differ {
		differ[i] = projections.Difference{Table: "held", Row: "from_leaf 4", What: projections.RowMissing, Leaf: &leaf, Type: "document.issued/1", Event: uuid.New()}
	}
	c.end <- projections.Compared{Version: 1, Events: 1500, Rows: 7, Wrong: 30, Differences: differ}
	second := <-c.begun
	now := tv.comparisonOf(t, asked.ComparisonID)
	if now.State != contract.ComparisonStateRunning || now.BegunAt.IsZero() || len(now.Models) < 3 {
		t.Fatalf("so far: %+v", now)
	}
	states := map[string]contract.ComparedState{}
	for _, m := range now.Models {
		states[m.Projection] = m.State
		if m.Projection == first && (m.Differing != 30 || len(m.Differences) != 20 || m.Size != 1500 || m.Rows != 7 || m.Taken != 1500 || m.Differences[0].Table != "held" || *m.Differences[0].Leaf != 4 || *m.Differences[0].EventID != differ[0].Event) {
			t.Errorf("of the first: %+v", m)
		}
	}
	if states[first] != contract.ComparedStateCompared || states[second] != contract.ComparedStateComparing || now.Models[2].State != contract.ComparedStateWaiting {
		t.Errorf("so far: %v", states)
	}
	c.end <- projections.Compared{Differences: []projections.Difference{}, Incomplete: projections.TakenOut}
	for range len(now.Models) - 2 {
		<-c.begun
		c.end <- projections.Compared{Differences: []projections.Difference{}}
	}
	tv.waitIdle(t)
	done := tv.comparisonOf(t, asked.ComparisonID)
	if done.State != contract.ComparisonStateDone || done.EndedAt.IsZero() || !done.PollAfter.IsZero() || done.Models[1].Hindrance != contract.ComparisonHindranceTakenOut {
		t.Errorf("done: %+v", done)
	}
	listed, err := tv.ListComparisons(tv.as(t, auditor, "listComparisons", nil), contract.ListComparisonsRequestObject{})
	if err != nil {
		t.Fatal(err)
	}
	if all := listed.(contract.ListComparisons200JSONResponse).Items; len(all) != 1 || all[0].ComparisonID != asked.ComparisonID || all[0].Models != nil {
		t.Errorf("listed: %+v", all)
	}
	if _, err := tv.GetComparison(tv.as(t, auditor, "getComparison", nil), contract.GetComparisonRequestObject{ComparisonID: key}); problemOf(err) != "resourceNotFound" {
		t.Errorf("a comparison that nobody asked for: %v", err)
	}
}

// A comparison that fails, or whose process ended, says so, and another one begins; a rebuild is
// no comparison.
func TestComparisonThatFailsSaysSo(t *testing.T) {
	tv := newVault(t)
	tv.restart(func(s *settings) {
		s.Work.Compare = func(context.Context, string, func(int64)) (projections.Compared, error) {
			return projections.Compared{}, errors.New("the log is away")
		}
	})
	asked := tv.askComparison(t, uuid.New())
	tv.waitIdle(t)
	if failed := tv.comparisonOf(t, asked.ComparisonID); failed.State != contract.ComparisonStateFailed || failed.Problem.Type != "urn:problem-type:coffre:comparisonFailed" || failed.Models[0].State != contract.ComparedStateComparing {
		t.Errorf("%+v", failed)
	}
	tv.stop()
	next := tv.askComparison(t, uuid.New())
	if next.ComparisonID == asked.ComparisonID {
		t.Error("what failed is joined")
	}
	tv.restart()
	tv.Clock.Advance(jobs.Silence + time.Second)
	if now := tv.comparisonOf(t, next.ComparisonID); now.State != contract.ComparisonStateFailed || now.Problem.Type != "urn:problem-type:coffre:jobInterrupted" {
		t.Errorf("interrupted: %+v", now)
	}
	rebuild := tv.askRebuild(t, uuid.New())
	tv.waitIdle(t)
	if _, err := tv.GetComparison(tv.as(t, auditor, "getComparison", nil), contract.GetComparisonRequestObject{ComparisonID: rebuild.RebuildID}); problemOf(err) != "resourceNotFound" {
		t.Errorf("a rebuild: %v", err)
	}
}
