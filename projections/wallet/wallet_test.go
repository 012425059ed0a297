package wallet_test

import (
	"testing"

	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

func fresh() projections.Projection { return wallet.New() }

func TestProjection(t *testing.T) {
	projectiontest.Run(t, fresh, func(t testing.TB, w *projectiontest.World) {
		projectiontest.NewStory(w, 20).Tell(t, 120)
	})
}
