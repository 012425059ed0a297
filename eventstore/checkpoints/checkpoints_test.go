package checkpoints_test

import (
	"path/filepath"
	"testing"

	"coffre/eventstore/checkpoints"
	"coffre/eventstore/checkpoints/checkpointstest"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

func sqlite(t *testing.T) *keysdb.DB {
	db, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func postgres(t *testing.T) *keysdb.DB {
	db, _, err := keysdb.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func in(t *testing.T, db *keysdb.DB) *checkpoints.Kept {
	t.Helper()
	k, err := checkpoints.In(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPlaces(t *testing.T) {
	databases := map[string]func(*testing.T) *keysdb.DB{"SQLite": sqlite, "PostgreSQL": postgres}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			checkpointstest.Run(t, func(t *testing.T) func() checkpoints.Place {
				db := open(t)
				return func() checkpoints.Place { return in(t, db) }
			})
		})
	}
	t.Run("file", func(t *testing.T) {
		checkpointstest.Run(t, func(t *testing.T) func() checkpoints.Place {
			path := filepath.Join(t.TempDir(), "last")
			return func() checkpoints.Place { return checkpoints.InFile(path) }
		})
	})
}

// The last checkpoint of every day stays, so that what happened between two days can be told.
func TestTheLastOfEachDayStays(t *testing.T) {
	k := in(t, sqlite(t))
	const day = 24 * 60 * 60 * 1_000_000 // Note counts microseconds
	var former []byte
	for _, size := range []int64{1, 2, day + 1, day + 2} {
		next := checkpointstest.Note(size)
		if err := k.Replace(t.Context(), former, next); err != nil {
			t.Fatal(err)
		}
		former = next
	}
	all, err := k.Days(t.Context())
	if err != nil || len(all) != 2 || string(all[0]) != string(checkpointstest.Note(2)) || string(all[1]) != string(checkpointstest.Note(day+2)) {
		t.Fatalf("%q, %v", all, err)
	}
}
