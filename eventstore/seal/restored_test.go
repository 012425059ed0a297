package seal_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/localkek"
	"coffre/eventstore/sqlite/sqlitedb"
)

// A restored ring is shredded without its key-encryption key, and no certificate
// learns of it that less had to be trimmed than was true (E-2, E-3).
func TestRestoredRingIsShreddedWithoutItsKEK(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "keys.db")
	db, err := keysdb.Open(ctx, path, sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kek, err := localkek.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	defer kek.Close()
	ring, err := seal.OpenRing(ctx, db, kek, seal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	number, err := domain.ParseSSIN("84022711082")
	if err != nil {
		t.Fatal(err)
	}
	citizen, _, err := ring.Enroll(ctx, number)
	if err != nil {
		t.Fatal(err)
	}
	const stream, other = eventstore.Stream("document-0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44"), eventstore.Stream("document-0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c45")
	place := eventstore.Place{Stream: stream, ID: uuid.New(), Type: "document.issued/1"}
	sealed, err := seal.Sealer{Ring: ring}.Seal(ctx, citizen, place, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // since the copy was made
		if _, err := kek.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
	}

	restored, err := seal.OpenRestored(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := seal.KeyID(sealed)
	for _, c := range []struct {
		keys map[eventstore.Stream]uuid.UUID
		want int
	}{
		{map[eventstore.Stream]uuid.UUID{stream: id}, 0},
		{map[eventstore.Stream]uuid.UUID{stream: uuid.New()}, 1},
		{map[eventstore.Stream]uuid.UUID{stream: id, other: id}, 1},
	} {
		if n, err := restored.MissingStreams(ctx, c.keys); err != nil || n != c.want {
			t.Errorf("%d missing, want %d: %v", n, c.want, err)
		}
	}
	if gone, err := restored.Destroyed(ctx, stream); err != nil || gone {
		t.Error(gone, err)
	}
	if err := errors.Join(restored.ReapplyDestroyed(ctx, []seal.DestroyedSubject{{Citizen: citizen}}, nil), restored.Settle(ctx), restored.Check(ctx)); err != nil {
		t.Fatal(err)
	}
	if gone, err := restored.Destroyed(ctx, stream); err != nil || !gone {
		t.Error(gone, err)
	}
	if n, err := restored.MissingStreams(ctx, map[eventstore.Stream]uuid.UUID{stream: id}); err != nil || n != 0 {
		t.Errorf("a destroyed key is missing: %d %v", n, err)
	}

	if ring, err = seal.OpenRing(ctx, db, kek, seal.Config{}); err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if _, err := (seal.Opener{Ring: ring}).Open(ctx, nil, place, sealed); !errors.Is(err, eventstore.ErrErased) {
		t.Error(err)
	}
	known, err := ring.Ledger().Destructions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d, err := known.Subject(ctx, citizen)
	if err != nil || d.WrappedBy != 3 {
		t.Errorf("%+v %v: want the newest version", d, err)
	}
	if d, err = known.Stream(ctx, stream); err != nil || d.WrappedBy != 3 {
		t.Errorf("%+v %v: want the newest version", d, err)
	}
}
