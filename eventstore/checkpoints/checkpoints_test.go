package checkpoints_test

import (
	"bytes"
	"crypto/ed25519"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore/checkpoints"
	"coffre/eventstore/checkpoints/checkpointstest"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/proof"
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

// cosigner makes the key of a witness that cosigns notes.
func cosigner(t *testing.T, name string) func(note []byte) proof.Cosignature {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(note []byte) proof.Cosignature {
		c, err := proof.Peek(note)
		if err != nil {
			t.Fatal(err)
		}
		return proof.Cosign(c.Text(), name, private, c.Time)
	}
}

// Cosignatures of one checkpoint are gathered in any order, and stay: for some minutes, and on
// the last one of each day that has enough of them.
func TestCosignaturesAreKept(t *testing.T) {
	databases := map[string]func(*testing.T) *keysdb.DB{"SQLite": sqlite, "PostgreSQL": postgres}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			k, err := checkpoints.CosignedIn(t.Context(), open(t))
			if err != nil {
				t.Fatal(err)
			}
			a, b := cosigner(t, "witness.example/a"), cosigner(t, "witness.example/b")
			two := func(note []byte) bool { return strings.Count(string(note), "witness.example/") == 2 }
			keep := func(note []byte, by ...func([]byte) proof.Cosignature) {
				t.Helper()
				for _, w := range by {
					if err := k.Keep(t.Context(), note, w(note), two); err != nil {
						t.Fatal(err)
					}
				}
			}
			origin := proof.Origin(uuid.UUID{1}, 0)
			enough := func() []byte {
				t.Helper()
				note, err := k.Enough(t.Context(), origin)
				if err != nil {
					t.Fatal(err)
				}
				return note
			}
			const minute, day = 60 * 1_000_000, 24 * 60 * 60 * 1_000_000 // Note counts microseconds
			first := checkpointstest.Note(1)
			if got, err := k.Of(t.Context(), first); err != nil || !bytes.Equal(got, first) {
				t.Fatalf("none is there: %q, %v", got, err)
			}
			keep(first, a)
			if enough() != nil {
				t.Fatal("one is not enough")
			}
			keep(first, b, b, a)
			want := proof.AddCosignatures(first, a(first), b(first))
			if got, err := k.Of(t.Context(), first); err != nil || !bytes.Equal(got, want) || !bytes.Equal(enough(), want) {
				t.Fatalf("%q, %v", got, err)
			}

			second := checkpointstest.Note(5 * minute)
			keep(second, a)
			if !bytes.Equal(enough(), want) {
				t.Fatal("the last one with enough stays until another has them")
			}
			keep(second, b)
			third := checkpointstest.Note(30 * minute)
			keep(third, b)
			if got, err := k.Of(t.Context(), first); err != nil || !bytes.Equal(got, first) {
				t.Errorf("another one of that day has enough, and it stays: %q, %v", got, err)
			}
			if got, err := k.Of(t.Context(), second); err != nil || bytes.Equal(got, second) {
				t.Errorf("the last one of its day with enough is gone: %q, %v", got, err)
			}
			keep(checkpointstest.Note(2*day), a, b)
			keep(checkpointstest.Note(3*day), a)
			if got, err := k.Of(t.Context(), third); err != nil || !bytes.Equal(got, third) {
				t.Errorf("one without enough stays: %q, %v", got, err)
			}
			for _, note := range [][]byte{second, checkpointstest.Note(2 * day)} {
				if got, err := k.Of(t.Context(), note); err != nil || bytes.Equal(got, note) {
					t.Errorf("the last one of its day with enough is gone: %q, %v", got, err)
				}
			}

			keep(checkpointstest.Note(2*day+1), b) // late, behind what a has
			keep(checkpointstest.Note(2*day-1), a)
			seen, err := k.Seen(t.Context(), origin)
			if err != nil || len(seen) != 2 || seen[a(first).Witness.String()].Size != 3*day || seen[b(first).Witness.String()].Size != 2*day+1 {
				t.Errorf("%v, %v", seen, err)
			}
			if other, err := k.Seen(t.Context(), proof.Origin(uuid.UUID{1}, 1)); err != nil || len(other) != 0 {
				t.Errorf("another origin: %v, %v", other, err)
			}
		})
	}
}
