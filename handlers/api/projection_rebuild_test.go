package api

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/faulty"
	"coffre/eventstore/jobs"
	"coffre/handlers/contract"
	"coffre/handlers/work"
	"coffre/projections"
)

// askRebuild asks for a rebuild of the wallet under a key.
func (tv *testVault) askRebuild(t *testing.T, key uuid.UUID) contract.Rebuild {
	t.Helper()
	answer, err := tv.RebuildProjection(tv.as(t, operator, "rebuildProjection", nil), contract.RebuildProjectionRequestObject{
		ProjectionName: "wallet", Params: contract.RebuildProjectionParams{IdempotencyKey: key},
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := answer.(contract.RebuildProjection202JSONResponse)
	if asked.Headers.Location != asked.Body.Href || asked.Body.Href != contract.RebuildHref(asked.Body.RebuildID) {
		t.Errorf("it is to be found at %q and %q", asked.Headers.Location, asked.Body.Href)
	}
	return asked.Body
}

// rebuildOf returns how a rebuild goes.
func (tv *testVault) rebuildOf(t *testing.T, id uuid.UUID) contract.Rebuild {
	t.Helper()
	answer, err := tv.GetRebuild(tv.as(t, operator, "getRebuild", nil), contract.GetRebuildRequestObject{RebuildID: id})
	if err != nil {
		t.Fatal(err)
	}
	return contract.Rebuild(answer.(contract.GetRebuild200JSONResponse))
}

// A rebuild is asked for, waits, and is done; the answer names that one.
func TestF21RebuildIsNamedUntilItsEnd(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.stop() // so that it waits
	key := uuid.New()
	asked := tv.askRebuild(t, key)
	if asked.State != contract.RebuildStateWaiting || asked.Projection != "wallet" || !asked.RequestedAt.Equal(noon) || !asked.BegunAt.IsZero() || asked.PollAfter.IsZero() {
		t.Fatalf("asked for: %+v", asked)
	}
	if again := tv.askRebuild(t, key); again.RebuildID != asked.RebuildID {
		t.Error("a repeated request begins another rebuild")
	}
	if joined := tv.askRebuild(t, uuid.New()); joined.RebuildID != asked.RebuildID {
		t.Error("a rebuild that waits is not joined")
	}
	tv.start()
	tv.waitIdle(t)
	done := tv.rebuildOf(t, asked.RebuildID)
	if done.State != contract.RebuildStateDone || done.BegunAt.IsZero() || done.EndedAt.IsZero() || !done.PollAfter.IsZero() || done.Problem.Type != "" {
		t.Errorf("done: %+v", done)
	}
	if next := tv.askRebuild(t, uuid.New()); next.RebuildID == asked.RebuildID {
		t.Error("a rebuild that is over is joined")
	}
	if _, err := tv.GetRebuild(tv.as(t, operator, "getRebuild", nil), contract.GetRebuildRequestObject{RebuildID: key}); problemOf(err) != "resourceNotFound" {
		t.Errorf("a rebuild that nobody asked for: %v", err)
	}
	tv.waitIdle(t)
}

// A rebuild that fails says so for good, and why; the read model in force answers on.
func TestF21RebuildThatFailsSaysSo(t *testing.T) {
	tv := newVault(t)
	id := tv.household(t, 1)
	tv.stop()
	asked := tv.askRebuild(t, uuid.New())
	tv.waitForReadModels(t)
	tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
		if c.Method == faulty.ReadAll {
			return faulty.Fault{Before: errors.New("the log is away")}
		}
		return faulty.Fault{}
	})
	tv.start()
	if err := tv.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	tv.Store.SetRule(nil)
	failed := tv.rebuildOf(t, asked.RebuildID)
	if failed.State != contract.RebuildStateFailed || failed.Problem.Type != "urn:problem-type:coffre:rebuildFailed" || failed.EndedAt.IsZero() {
		t.Errorf("%+v", failed)
	}
	tv.waitForReadModels(t)
	if _, known, err := tv.Wallets.Document(t.Context(), id, projections.Latest); err != nil || !known {
		t.Errorf("the wallet in force: %v, %v", known, err)
	}
	for _, reason := range []string{"rebuildPoisoned", "rebuildFailed", jobs.Interrupted} {
		if said := work.RebuildProblem(reason); said.Slug != reason {
			t.Errorf("%s is told as %s", reason, said.Slug)
		}
	}
}

// A rebuild whose process ended is told as interrupted by the next one.
func TestF21RebuildOfAProcessThatEnded(t *testing.T) {
	tv := newVault(t)
	tv.stop()
	asked := tv.askRebuild(t, uuid.New())
	tv.restart()
	if now := tv.rebuildOf(t, asked.RebuildID); now.State != contract.RebuildStateWaiting {
		t.Errorf("at once: %+v", now)
	}
	tv.Clock.Advance(jobs.Silence + time.Second)
	if now := tv.rebuildOf(t, asked.RebuildID); now.State != contract.RebuildStateFailed || now.Problem.Type != "urn:problem-type:coffre:jobInterrupted" {
		t.Errorf("later: %+v", now)
	}
	if next := tv.askRebuild(t, uuid.New()); next.RebuildID == asked.RebuildID {
		t.Error("what was interrupted is joined")
	}
}

// A rotation that another process began, or this one before it was started anew, is under way
// until the ledger says that it is over.
func TestF21RotationsAreUnderWayInEveryProcess(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.stop()
	if _, err := tv.RotateKeys(tv.as(t, operator, "rotateKeys", nil), contract.RotateKeysRequestObject{Params: contract.RotateKeysParams{IdempotencyKey: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.RotatePepper(tv.as(t, operator, "rotatePepper", nil), contract.RotatePepperRequestObject{Params: contract.RotatePepperParams{IdempotencyKey: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	tv.Vault = tv.Settings.vault() // a new process, which has not begun to work
	if now := tv.keys(t); now.Rotation.State != contract.TaskStateProcessing || now.Pepper.Rotation.State != contract.TaskStateProcessing || now.Rotation.PollAfter.IsZero() {
		t.Errorf("before: %+v, %+v", now.Rotation, now.Pepper.Rotation)
	}
	tv.start()
	tv.waitIdle(t)
	if now := tv.keys(t); now.Rotation.State != contract.TaskStateDone || now.Pepper.Rotation.State != contract.TaskStateDone {
		t.Errorf("after: %+v, %+v", now.Rotation, now.Pepper.Rotation)
	}
}
