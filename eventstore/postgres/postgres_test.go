package postgres_test

import (
	"os"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/storetest"
)

func open(t testing.TB, dsn string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStoreSoak(t *testing.T) {
	storetest.Run(t, harness(pgtest.Shared(t), func(s eventstore.Store) eventstore.Store { return s }))
}

func TestStoreBehindFaulty(t *testing.T) {
	h := harness(pgtest.Shared(t), func(s eventstore.Store) eventstore.Store { return faulty.New(s, nil) })
	h.Repeats = os.Getenv("COFFRE_SOAK") != "1" // a soak does all of it here, too
	storetest.Run(t, h)
}

// harness remembers where each store lives, to open it again.
func harness(server *pgtest.Server, wrap func(eventstore.Store) eventstore.Store) storetest.Harness {
	dsns := map[eventstore.Store]string{}
	at := func(t testing.TB, dsn string) eventstore.Store {
		s := wrap(open(t, dsn, postgres.Options{}))
		dsns[s] = dsn
		return s
	}
	return storetest.Harness{
		Open: func(t testing.TB) eventstore.Store { return at(t, server.Database(t)) },
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return at(t, dsns[s])
		},
	}
}
