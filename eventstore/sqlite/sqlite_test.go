package sqlite_test

import (
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storetest"
)

func open(t testing.TB, dir string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStoreSoak(t *testing.T) {
	storetest.Run(t, harness(sqlite.Options{}))
}

// harness remembers where each store lives, to open it again.
func harness(o sqlite.Options) storetest.Harness {
	dirs := map[eventstore.Store]string{}
	at := func(t testing.TB, dir string) eventstore.Store {
		s := open(t, dir, o)
		dirs[s] = dir
		return s
	}
	return storetest.Harness{
		Open: func(t testing.TB) eventstore.Store { return at(t, t.TempDir()) },
		Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return at(t, dirs[s])
		},
	}
}

func TestStormSoak(t *testing.T) {
	storetest.Storm{Harness: harness(sqlite.Options{})}.Run(t)
}
