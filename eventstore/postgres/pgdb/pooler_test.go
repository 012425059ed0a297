package pgdb_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
)

// A pooler that stands before the server is named by its name, whatever its mode: sessions
// keep settings and locks of their own.
func TestPoolersAreNamed(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	config, err := pgdb.Config(dsn, pgdb.Options{Schema: "some", ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	dropped := slices.Sorted(maps.Keys(config.RuntimeParams))
	for _, mode := range []string{"transaction", "statement", "session"} {
		for _, ignored := range [][]string{nil, dropped} {
			db, err := pgdb.Open(pgtest.Bouncer(t, dsn, mode, ignored...), pgdb.Options{Schema: "some"})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := pgdb.Prepare(t.Context(), db, "some"); !errors.Is(err, pgdb.ErrPooler) {
				t.Errorf("%s, which drops %v: %v", mode, ignored, err)
			}
		}
	}
}
