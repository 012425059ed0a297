package api

import (
	"errors"
	"math"
	"testing"

	"coffre/domain"
	"coffre/eventstore"
)

func TestWhatTheReadModelsDoNotShowYetIsRefused(t *testing.T) {
	v := newVault(t)
	ahead := eventstore.Position{Commit: math.MaxInt64, Prepare: math.MaxInt64}
	for _, late := range []*domain.Error{ErrLagging, errBehind} {
		if err := v.shows(t.Context(), ahead, late, v.Erasures.Name()); !errors.Is(err, late) {
			t.Errorf("a position never reached gave %v, want %v", err, late)
		}
	}
}
