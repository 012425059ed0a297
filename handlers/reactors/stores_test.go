package reactors

import (
	"context"
	"net"
	"sync"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/wire"
	"coffre/eventstore/memory"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite"
)

// stores open a log of each kind that a vault may have, empty. None is closed before t's end.
var stores = map[string]func(t *testing.T) eventstore.Store{
	"Memory": func(*testing.T) eventstore.Store { return memory.New() },
	"SQLite": func(t *testing.T) eventstore.Store {
		s, err := sqlite.Open(context.Background(), t.TempDir(), sqlite.Options{})
		return opened(t, s, err)
	},
	"PostgreSQL": func(t *testing.T) eventstore.Store {
		s, err := postgres.Open(context.Background(), pgtest.Shared(t).Database(t), postgres.Options{})
		return opened(t, s, err)
	},
	// KurrentDB's protocol, spoken by its own client; the server is this program's.
	"KurrentDB": func(t *testing.T) eventstore.Store {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := wire.New(wire.Options{Store: memory.New(), Append: true})
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) }) // it ends with Close
		t.Cleanup(func() { server.Close(); serving.Wait() })
		s, err := kurrent.Open(context.Background(), "esdb://"+listener.Addr().String()+"?tls=false", kurrent.Options{})
		return opened(t, s, err)
	},
}

func opened(t *testing.T, s eventstore.Store, err error) eventstore.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
