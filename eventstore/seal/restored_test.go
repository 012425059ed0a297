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
	"coffre/eventstore/seal/ringtest"
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

// A restore has no key for MACs. What it shredded counts as damaged until a start with the
// keys, which destroys again what the list names, has made every row true; what no list
// names stays as it was, and damage stays damage.
func TestRestoredRingIsMadeTrueByTheNextStart(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	kek := ringtest.OpenKeeper(t, dir)
	db := ringtest.OpenDB(t, dir)
	ring := ringtest.OpenRing(t, db, kek, seal.Config{})
	gone, stays, hurt := ringtest.Citizen(t, ring, 1), ringtest.Citizen(t, ring, 2), ringtest.Citizen(t, ring, 3)
	const organisation = domain.Organisation("0206731645")
	document, other := eventstore.Stream("document-"+uuid.NewString()), eventstore.Stream("document-"+uuid.NewString())
	check(t, ring.MakeStreamKey(ctx, gone, document))
	check(t, ring.MakeStreamKey(ctx, stays, other))
	for _, citizen := range []domain.CitizenID{gone, stays} {
		_, err := ring.Ref(ctx, organisation, citizen)
		check(t, err)
	}
	file := domain.AttachmentID{UUID: uuid.New()}
	key, err := ring.Make(ctx, file, organisation, "text/plain")
	check(t, err)
	check(t, ring.Keep(ctx, seal.File{ID: file, Issuer: organisation, Key: key, Digest: make([]byte, 32), Size: 1}))
	_, err = ring.Reserve(ctx, organisation, document, []domain.AttachmentID{file})
	check(t, err)
	check(t, ring.Close())
	check(t, db.Close())

	list := []seal.DestroyedSubject{{Citizen: gone, Suppression: seal.Suppression{Basis: "law"}}, {Citizen: domain.CitizenID{UUID: uuid.New()}}}
	streams := []seal.DestroyedStream{{Stream: "document-unknown", Citizen: stays}, {Stream: other, Citizen: stays}}
	db = ringtest.OpenDB(t, dir)
	_, err = keysdb.Do(ctx, db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE subjects SET created = created + 1 WHERE citizen = ?`, hurt.UUID[:])
	})
	check(t, err)
	restored, err := seal.OpenRestored(ctx, db)
	check(t, err)
	check(t, errors.Join(restored.ReapplyDestroyed(ctx, list, streams), restored.Settle(ctx), restored.Check(ctx)))
	var left int
	s, err := db.Read(`SELECT (SELECT count(*) FROM subjects WHERE citizen = ? AND wrapped IS NOT NULL) + (SELECT count(*) FROM stream_keys WHERE wrapped IS NOT NULL) + (SELECT count(*) FROM attachments WHERE wrapped IS NOT NULL)`)
	check(t, err)
	if err := s.QueryRowxContext(ctx, gone.UUID[:]).Scan(&left); err != nil || left > 0 {
		t.Fatalf("%d keys are left: %v", left, err)
	}
	check(t, db.Close())

	db = ringtest.OpenDB(t, dir)
	ring = ringtest.OpenRing(t, db, kek, seal.Config{})
	check(t, ring.ReapplyDestroyed(ctx, list, streams))
	found, err := db.Check(ctx)
	if err != nil || len(found) != 1 || found[0].Table != "subjects" {
		t.Fatalf("after the start: %v, %v", found, err)
	}
	if _, _, err := ring.Enroll(ctx, ringtest.SSIN(1)); !errors.Is(err, seal.ErrCitizenErased) {
		t.Errorf("the erased person: %v", err)
	}
	if _, _, err := ring.Enroll(ctx, ringtest.SSIN(3)); !errors.Is(err, keysdb.ErrDamaged) {
		t.Errorf("the damaged person: %v", err)
	}
	if c, _, err := ring.Enroll(ctx, ringtest.SSIN(2)); err != nil || c != stays {
		t.Errorf("the other person: %v", err)
	}
	if doomed, err := ring.Doomed(ctx, 10); err != nil || len(doomed) != 1 || doomed[0] != file {
		t.Errorf("files %v: %v", doomed, err)
	}
	s, err = db.Read(`SELECT (SELECT count(*) FROM citizen_refs WHERE citizen = ?) + (SELECT count(*) FROM subject_ssins WHERE citizen = ?)`)
	check(t, err)
	if err := s.QueryRowxContext(ctx, gone.UUID[:], gone.UUID[:]).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d numbers and references of the erased are left: %v", left, err)
	}
}
