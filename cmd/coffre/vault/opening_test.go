package vault

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections"
)

func TestTheSlowestReadModelSaysHowFarTheStartIs(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	began := now.Add(-10 * time.Second)
	live := projections.Status{Name: "live", Leaf: 9999, HeadLeaf: 9999, RebuiltTo: -1, RebuiltFrom: -1}
	for _, c := range []struct {
		name string
		all  []projections.Status
		want edge.Opening
	}{
		{"none is built", []projections.Status{live}, edge.Opening{Doing: contract.StartStepReadModels}},
		{"from the beginning", []projections.Status{live, {RebuiltTo: 7999, RebuiltFrom: -1, HeadLeaf: 9999, RebuildingSince: began}, {RebuiltTo: 3999, RebuiltFrom: -1, HeadLeaf: 9999, RebuildingSince: began}},
			edge.Opening{Doing: contract.StartStepReadModels, Known: true, Percent: 40, PerSecond: 400, Left: 15 * time.Second}},
		{"gone on with", []projections.Status{{RebuiltTo: 5999, RebuiltFrom: 4999, HeadLeaf: 9999, RebuildingSince: began}},
			edge.Opening{Doing: contract.StartStepReadModels, Known: true, Percent: 60, PerSecond: 100, Left: 40 * time.Second}},
		{"nothing yet", []projections.Status{{RebuiltTo: -1, RebuiltFrom: -1, HeadLeaf: 9999, RebuildingSince: now}},
			edge.Opening{Doing: contract.StartStepReadModels, Known: true}},
		{"one was not begun", []projections.Status{{RebuiltTo: 3999, RebuiltFrom: -1, HeadLeaf: 9999, RebuildingSince: began}, {State: projections.Starting, RebuiltTo: -1, RebuiltFrom: -1, HeadLeaf: 9999}},
			edge.Opening{Doing: contract.StartStepReadModels}},
		{"only the indexes are left", []projections.Status{{RebuiltTo: 9999, RebuiltFrom: -1, HeadLeaf: 9999, RebuildingSince: began}},
			edge.Opening{Doing: contract.StartStepReadModels, Known: true, Percent: 99, PerSecond: 1000}},
		{"an empty log", []projections.Status{{RebuiltTo: -1, RebuiltFrom: -1, HeadLeaf: -1, RebuildingSince: now}},
			edge.Opening{Doing: contract.StartStepReadModels, Known: true}},
	} {
		if got := slowest(c.all, now); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestAnOpeningIsAskedBeforeAndAfterItsVault: whoever asks gets an answer whatever is there.
func TestAnOpeningIsAskedBeforeAndAfterItsVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o Opening
		if got := o.Now(context.Background()); got.Doing != contract.StartStepDatabases {
			t.Errorf("at first: %+v", got)
		}
		a := newAssembly(t.Context(), DataDir(t.TempDir()), Options{})
		defer a.Close()
		o.begin(contract.StartStepKeys, a)
		if got := o.Now(t.Context()); got != (edge.Opening{Doing: contract.StartStepKeys}) {
			t.Errorf("at the keys: %+v", got)
		}
		o.failed()
		if got := o.Now(t.Context()); got != (edge.Opening{Doing: contract.StartStepKeys}) {
			t.Errorf("while it waits: %+v", got)
		}
	})
}

// What is got ready beforehand keeps nobody out for longer than it may.
func TestARehearsalThatHangsIsBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &Instance{rehearse: func(ctx context.Context) { <-ctx.Done() }}
		v.opened.Store(true) // the read models have answered
		began := time.Now()
		<-v.Built(t.Context())
		if took := time.Since(began); took < rehearseIn || took > rehearseIn+builtLook {
			t.Errorf("it was broken off after %v", took)
		}
	})
}
