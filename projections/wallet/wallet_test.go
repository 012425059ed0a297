package wallet_test

import (
	"testing"

	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

func fresh() projections.Projection { return wallet.New() }

func TestProjection(t *testing.T) {
	projectiontest.Run(t, fresh, func(t testing.TB, w *projectiontest.World) {
		story := projectiontest.NewStory(w, 20)
		for range 3 {
			story.Tell(t, 40)
			former, survivor := story.Citizens[len(story.Citizens)-1], story.Citizens[0]
			w.Record(t, eventstore.Stream("citizen-"+former.String()), former, citizen.MergedInto{Citizen: former, Survivor: survivor, At: story.Now})
		}
	})
}
