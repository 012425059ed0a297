package acting

import (
	"errors"
	"math"
	"testing"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/memory"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/contract"
	"coffre/projections/erasures"
	"coffre/projections/projectiontest"
)

// A cursor is read by the list that gave it and by no other, and tells nothing of its place.
func TestCursors(t *testing.T) {
	rec := &Recorder{Keys: ringtest.New(t).Ring}
	for _, leaf := range []int64{0, 1, 1 << 40} {
		cursor := rec.Cursor("listMandates", leaf)
		if got, err := rec.LeafFrom("listMandates", cursor, -1); err != nil || got != leaf || cursor == contract.LeafToken(leaf) {
			t.Errorf("%d came back as %d, %v", leaf, got, err)
		}
		for _, foreign := range []string{"listConsents", ""} {
			if _, err := rec.LeafFrom(foreign, cursor, -1); !errors.Is(err, contract.ErrUnknownPosition) {
				t.Errorf("%q reads it: %v", foreign, err)
			}
		}
		if _, err := rec.LeafFrom("listMandates", contract.LeafToken(leaf), -1); !errors.Is(err, contract.ErrUnknownPosition) {
			t.Errorf("a leaf in clear: %v", err)
		}
	}
	if first, err := rec.LeafFrom("listMandates", "", 7); err != nil || first != 7 {
		t.Errorf("without a cursor: %d, %v", first, err)
	}
}

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
