package kurrent_test

import (
	"net"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/given"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storetest"
)

// serve offers a store over the protocol until the test ends, and returns where.
func serve(t testing.TB, s eventstore.Store) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, s)
	return l.Addr().String()
}

func serveOn(t testing.TB, l net.Listener, s eventstore.Store) *wire.Server {
	t.Helper()
	server := wire.New(wire.Options{Store: s, Append: true})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return server
}

// startGiven starts the real server that somebody gave, empty, until the test ends.
func startGiven(t testing.TB, dir string) *given.Server {
	t.Helper()
	s, err := given.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t testing.TB, address string, o kurrent.Options) *kurrent.Store {
	t.Helper()
	return openAt(t, "esdb://"+address+"?tls=false", o)
}

func openAt(t testing.TB, connection string, o kurrent.Options) *kurrent.Store {
	t.Helper()
	s, err := kurrent.Open(t.Context(), connection, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// harness has stores over the protocol over stores that inner makes, or on real servers that
// keep their events in the directory that dir returns, unless it is nil, where they are given. They repeat the
// suite of those even in a soak: writers of one stream read it before each append, so
// twenty times as much takes 400 times as long; the storm has a soak.
func harness(inner func(t testing.TB) eventstore.Store, dir func(t testing.TB) string) storetest.Harness {
	addresses := map[eventstore.Store]string{}
	at := func(t testing.TB, connection string) eventstore.Store {
		s := openAt(t, connection, kurrent.Options{MaxAppend: 16 << 20})
		addresses[s] = connection
		return s
	}
	return storetest.Harness{
		Repeats: true,
		Open: func(t testing.TB) eventstore.Store {
			t.Helper()
			if dir != nil && given.Program() != "" {
				return at(t, startGiven(t, dir(t)).Address)
			}
			return at(t, "esdb://"+serve(t, inner(t))+"?tls=false")
		},
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return at(t, addresses[s])
		},
	}
}

func TestStoreOverMemory(t *testing.T) {
	storetest.Run(t, harness(func(testing.TB) eventstore.Store { return memory.New() }, func(testing.TB) string { return "" }))
}

func TestStoreOverSQLite(t *testing.T) {
	storetest.Run(t, harness(func(t testing.TB) eventstore.Store {
		s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}, testing.TB.TempDir))
}
