package pgmodels_test

import (
	"testing"

	"coffre/eventstore/postgres/pgtest"
	"coffre/projections/projectiontest"
)

func TestContract(t *testing.T) {
	projectiontest.RunMedium(t, func(t testing.TB) string { return pgtest.Shared(t).Database(t) }, projectiontest.OpenMedium)
}
