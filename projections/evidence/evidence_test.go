package evidence_test

import (
	"testing"

	"coffre/projections"
	"coffre/projections/evidence"
	"coffre/projections/projectiontest"
)

func fresh() projections.Projection { return evidence.New() }

func TestProjection(t *testing.T) {
	projectiontest.Run(t, fresh, func(t testing.TB, w *projectiontest.World) {
		projectiontest.NewStory(w, 20).Tell(t, 120)
	})
}
