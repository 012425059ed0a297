package sqlitemodels_test

import (
	"testing"

	"coffre/projections/projectiontest"
)

func TestContract(t *testing.T) {
	projectiontest.RunMedium(t, func(t testing.TB) string { return t.TempDir() }, projectiontest.OpenMedium)
}
