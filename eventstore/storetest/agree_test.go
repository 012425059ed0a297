package storetest_test

import (
	"net"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storetest"
)

// reopening remembers how each store is opened again.
func reopening(fresh func(testing.TB) func() (eventstore.Store, error)) storetest.Harness {
	again := map[eventstore.Store]func() (eventstore.Store, error){}
	at := func(t testing.TB, open func() (eventstore.Store, error)) eventstore.Store {
		t.Helper()
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		again[s] = open
		return s
	}
	return storetest.Harness{
		Repeats: true,
		Open:    func(t testing.TB) eventstore.Store { return at(t, fresh(t)) },
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return at(t, again[s])
		},
	}
}

// Whatever is done to them, all stores give the same answers. Each is held to the
// reference by its own suite; here they are held to it side by side.
func TestAllStoresAgree(t *testing.T) {
	storetest.Agree(t, map[string]storetest.Harness{
		"memory": {Open: func(testing.TB) eventstore.Store { return memory.New() }},
		"sqlite": reopening(func(t testing.TB) func() (eventstore.Store, error) {
			dir := t.TempDir()
			return func() (eventstore.Store, error) { return sqlite.Open(t.Context(), dir, sqlite.Options{}) }
		}),
		"postgres": reopening(func(t testing.TB) func() (eventstore.Store, error) {
			dsn := pgtest.Shared(t).Database(t)
			return func() (eventstore.Store, error) { return postgres.Open(t.Context(), dsn, postgres.Options{}) }
		}),
		"kurrent": reopening(func(t testing.TB) func() (eventstore.Store, error) {
			address := served(t, memory.New())
			return func() (eventstore.Store, error) { return kurrent.Open(t.Context(), address, kurrent.Options{}) }
		}),
	})
}

// served offers a store to KurrentDB's clients until the test ends, and returns where.
func served(t testing.TB, s eventstore.Store) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(wire.Options{Store: s, Append: true})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "esdb://" + l.Addr().String() + "?tls=false"
}
