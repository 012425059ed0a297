package consentlog_test

import (
	"testing"

	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/projectiontest"
)

func fresh() projections.Projection { return consentlog.New() }

func TestProjection(t *testing.T) {
	projectiontest.Run(t, fresh, func(t testing.TB, w *projectiontest.World) {
		projectiontest.NewStory(w, 20).Tell(t, 120)
	})
}
