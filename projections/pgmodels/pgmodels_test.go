package pgmodels_test

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgtest"
	"coffre/projections/pgmodels"
	"coffre/projections/projectiontest"
)

func TestContract(t *testing.T) {
	projectiontest.RunMedium(t, func(t testing.TB) string { return pgtest.Shared(t).Database(t) }, projectiontest.OpenMedium)
}

// Whether the server compares checksums of its pages is what it says itself.
func TestChecksumsAreAskedFor(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	m, err := pgmodels.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	super, err := sqlx.Open("pgx", server.Superuser(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close()
	var want bool
	if err := super.Get(&want, `SELECT current_setting('data_checksums')::boolean`); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Checksums(t.Context()); err != nil || got != want {
		t.Errorf("checksums: %t, %v, want %t", got, err, want)
	}
}
