package accesslog_test

import (
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/projectiontest"
)

func fresh() projections.Projection { return accesslog.New() }

func TestProjection(t *testing.T) {
	projectiontest.Run(t, fresh, func(t testing.TB, w *projectiontest.World) {
		projectiontest.NewStory(w, 20).Tell(t, 120)
		w.Record(t, "audit-202603", domain.CitizenID{}, audit.LossAccepted{LogEnd: "1", SeenEnd: "2", Witness: audit.KeyRing, Cause: "restore", At: time.Now()})
	})
}
