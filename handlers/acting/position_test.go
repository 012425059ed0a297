package acting

import (
	"errors"
	"math"
	"testing"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/memory"
	"coffre/projections/erasures"
	"coffre/projections/projectiontest"
)

func TestWhatTheReadModelsDoNotShowYetIsRefused(t *testing.T) {
	model := erasures.New()
	rec := &Recorder{Runner: projectiontest.Start(t, memory.New(), t.TempDir(), model).Runner}
	ahead := eventstore.Position{Commit: math.MaxInt64, Prepare: math.MaxInt64}
	for _, late := range []*domain.Error{errLagging, ErrModelsBehind} {
		if err := rec.waitForPosition(t.Context(), ahead, late, model.Name()); !errors.Is(err, late) {
			t.Errorf("a position never reached gave %v, want %v", err, late)
		}
	}
}
