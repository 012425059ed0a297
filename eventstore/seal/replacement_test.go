package seal_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
)

// Whatever call to the medium is the last one, the next process forgets the document and
// opens everything else.
func TestReplacementKilledAtEveryCall(t *testing.T) {
	first, step := someCalls(t)
	for n := first; ; n += step {
		dir := t.TempDir()
		medium := ringtest.NewMedium(t)
		kek := ringtest.OpenKeeper(t, dir)
		r, db := ringOn(t, dir, medium, kek)
		c, s := ringtest.Citizen(t, r, 1), seal.Sealer{Ring: r.Ring}
		gone, err := s.Seal(t.Context(), c, place(1), []byte("gone"))
		check(t, err)
		kept, err := s.Seal(t.Context(), c, place(2), []byte("kept"))
		check(t, err)
		id, err := r.DocumentID(t.Context(), c, "0206731645", "isiPlusCard", "ref")
		check(t, err)

		medium.BreakAfter(n)
		destroyed := r.DestroyStreamKeys(t.Context(), place(1).Stream)
		replaced := r.ReplaceDataKey(t.Context(), c)
		late, unsealed := s.Seal(t.Context(), c, place(3), []byte("late"))
		broken := medium.Broken()
		for _, err := range []error{destroyed, replaced, unsealed} {
			if err != nil && !errors.Is(err, eventstore.ErrKeysUnavailable) && !errors.Is(err, eventstore.ErrErased) {
				t.Fatalf("call %d: %v", n, err)
			}
		}
		medium.BreakAfter(0) // dead: closing writes nothing either
		r.Close()
		db.Close()

		again := ringtest.OpenRing(t, ringtest.OpenDB(t, dir), kek, seal.Config{})
		s = seal.Sealer{Ring: again.Ring}
		opens := func(n int, part []byte, want error) {
			t.Helper()
			if _, err := seal.Opener(s).Open(t.Context(), nil, place(n), part); !errors.Is(err, want) {
				t.Fatalf("%v, want %v", err, want)
			}
		}
		opens(2, kept, nil)
		if unsealed == nil {
			opens(3, late, nil)
		}
		if destroyed == nil {
			opens(1, gone, eventstore.ErrErased)
		}
		check(t, again.DestroyStreamKeys(t.Context(), place(1).Stream)) // as a resumed erasure does
		check(t, again.ReplaceDataKeys(t.Context()))
		opens(1, gone, eventstore.ErrErased)
		opens(2, kept, nil)
		if unsealed == nil {
			opens(3, late, nil)
		}
		if now, err := again.DocumentID(t.Context(), c, "0206731645", "isiPlusCard", "ref"); err != nil || now != id {
			t.Fatalf("call %d: another document id: %v", n, err)
		}
		all, err := again.Destructions(t.Context())
		check(t, err)
		// Found replaced, for it is wrapped by a version that counts no more as the latest.
		_, err = again.Rotate(t.Context())
		check(t, err)
		if known, err := all.Stream(t.Context(), place(1).Stream); err != nil || known.WrappedBy != 1 {
			t.Fatalf("call %d: %+v %v", n, known, err)
		}
		if !broken {
			if n < 10 {
				t.Fatalf("only %d calls: this test broke nothing", n)
			}
			return
		}
	}
}

// corpus is everything that was ever written: the bytes of files, as whoever holds old
// copies, write-ahead logs and the medium reads them.
type corpus struct {
	files [][]byte
	led   bool // PostgreSQL writes the length of a short value in the byte before it
}

// each calls f with every run of size bytes that may be a value.
func (c corpus) each(size int, f func(value []byte)) {
	for _, b := range c.files {
		for i := 0; i+size <= len(b); i++ {
			switch value := b[i : i+size]; {
			case c.led && (i == 0 || b[i-1] != byte((size+1)<<1|1)):
			case value[size-1]|value[size-2]|value[size-3] == 0: // free space: one tag in 16 million
			default:
				f(value)
			}
		}
	}
}

func readFiles(t *testing.T, dir string) (files [][]byte) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a server removes files while it runs
			return err
		}
		if d == nil || !d.Type().IsRegular() || strings.Contains(path, "kek.json") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil {
			files = append(files, b)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}))
	if len(files) == 0 {
		t.Fatal("there are no files: this test sees nothing")
	}
	return files
}

// dataKeys returns the data keys of a citizen that the key-encryption key still opens.
func (c corpus) dataKeys(t *testing.T, kek seal.KEK, citizen domain.CitizenID) (deks [][]byte) {
	t.Helper()
	const size = 1 + 4 + 12 + 32 + 16 // of a data key that localkek wraps: format, version, nonce, key, tag
	var items []seal.UnwrapItem
	ask := func() {
		if len(items) == 0 {
			return
		}
		plain, err := kek.Unwrap(t.Context(), items)
		check(t, err)
		for _, p := range plain {
			if p.Err == nil && len(p.Plain) == 32 {
				deks = append(deks, p.Plain)
			}
		}
		items = items[:0]
	}
	c.each(size, func(value []byte) {
		if value[0] == 1 && value[1]|value[2]|value[3] == 0 && value[4] != 0 {
			items = append(items, seal.UnwrapItem{Wrapped: value, AAD: citizen.UUID[:]})
		}
		if len(items) == seal.MaxBatch {
			ask()
		}
	})
	ask()
	return deks
}

// opens counts the places at which one of the keys opens the content key of a stream: as a
// data key, and as the key that wraps content keys itself.
func (c corpus) opens(t *testing.T, stream eventstore.Stream, id uuid.UUID, keys ...[]byte) (n int) {
	t.Helper()
	aad := append(append([]byte("coffre/content-key/v1\x00"), id[:]...), stream...)
	var wraps []cipher.AEAD
	for _, k := range keys {
		sub, err := hkdf.Expand(sha256.New, k, "coffre/content-keys/v1", 32)
		check(t, err)
		for _, wrap := range [][]byte{sub, k} {
			block, err := aes.NewCipher(wrap)
			check(t, err)
			gcm, err := cipher.NewGCM(block)
			check(t, err)
			wraps = append(wraps, gcm)
		}
	}
	var plain [32]byte
	c.each(60, func(value []byte) { // nonce, key, tag
		for _, wrap := range wraps {
			if _, err := wrap.Open(plain[:0], value[:12], value[12:], aad); err == nil {
				n++
			}
		}
	})
	return n
}

// E-3: a document's content key that was destroyed opens with nothing that lives, though
// every byte that was ever written is there; and once the key-encryption key was trimmed,
// with nothing at all.
func TestForgottenDocumentInEveryByteEverWritten(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		dir := t.TempDir()
		var written [][]byte
		forgetDocument(t, ringtest.OpenDB(t, dir), func() corpus {
			written = append(written, readFiles(t, dir)...) // an old copy beside the newest
			return corpus{files: written}
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t)
		forgetDocument(t, ringtest.OpenPostgres(t, server.Database(t)), func() corpus {
			return corpus{files: append(readFiles(t, filepath.Join(server.Data(t), "pg_wal")), readFiles(t, filepath.Join(server.Data(t), "base"))...), led: true}
		})
	})
}

func forgetDocument(t *testing.T, db *keysdb.DB, written func() corpus) {
	kek := ringtest.OpenKeeper(t, t.TempDir())
	r := ringtest.OpenRing(t, db, kek, seal.Config{})
	c := ringtest.Citizen(t, r, 1)
	gone, kept := place(1), place(2)
	for _, p := range []eventstore.Place{gone, kept} {
		_, err := seal.Sealer{Ring: r.Ring}.Seal(t.Context(), c, p, []byte("secret"))
		check(t, err)
	}
	ids := map[eventstore.Stream]uuid.UUID{} // they stand in the log for ever
	keys, err := r.StreamKeys(t.Context(), c)
	check(t, err)
	for _, k := range keys {
		ids[k.Stream] = k.ID
	}
	living := func() (deks [][]byte) {
		t.Helper()
		s, err := db.Read(`SELECT s.wrapped, i.wrapped FROM subjects s LEFT JOIN index_keys i ON i.citizen = s.citizen WHERE s.citizen = ?`)
		check(t, err)
		var wrapped, index []byte
		check(t, s.QueryRowxContext(t.Context(), c.UUID[:]).Scan(&wrapped, &index))
		plain, err := kek.Unwrap(t.Context(), []seal.UnwrapItem{{Wrapped: wrapped, AAD: c.UUID[:]}})
		check(t, err)
		check(t, plain[0].Err)
		deks = append(deks, plain[0].Plain)
		infos := []string{"coffre/document-id/v1", "coffre/content-tag/v1", "coffre/ssin/v1"}
		if index == nil {
			for _, info := range infos {
				sub, err := hkdf.Expand(sha256.New, plain[0].Plain, info, 32)
				check(t, err)
				deks = append(deks, sub)
			}
			return deks
		}
		sub, err := hkdf.Expand(sha256.New, plain[0].Plain, "coffre/index-keys/v1", 32)
		check(t, err)
		block, err := aes.NewCipher(sub)
		check(t, err)
		gcm, err := cipher.NewGCM(block)
		check(t, err)
		three, err := gcm.Open(nil, index[:12], index[12:], append([]byte("coffre/index-keys/v1\x00"), c.UUID[:]...))
		check(t, err)
		for i := range infos {
			deks = append(deks, three[32*i:32*i+32])
		}
		return deks
	}
	before := living()
	if all := written(); all.opens(t, gone.Stream, ids[gone.Stream], before...) == 0 || len(all.dataKeys(t, kek, c)) == 0 {
		t.Fatal("what was never destroyed does not open: this test sees nothing")
	}

	check(t, r.DestroyStreamKeys(t.Context(), gone.Stream))
	check(t, r.ReplaceDataKey(t.Context(), c))
	all, after := written(), living()
	if n := all.opens(t, gone.Stream, ids[gone.Stream], after...); n != 0 {
		t.Errorf("E-3 the destroyed content key opens at %d places with keys that live", n)
	}
	for i := 1; i < 4; i++ {
		if string(after[i]) != string(before[i]) {
			t.Error("an index key changed")
		}
	}
	if all.opens(t, kept.Stream, ids[kept.Stream], after...) == 0 {
		t.Fatal("what lives does not open: this test sees nothing")
	}
	former := all.dataKeys(t, kek, c)
	if all.opens(t, gone.Stream, ids[gone.Stream], former...) == 0 {
		t.Fatal("the former data key is in no old copy: the trim shows nothing")
	}
	if known, err := r.Destructions(t.Context()); err != nil {
		t.Error(err)
	} else if d, err := known.Stream(t.Context(), gone.Stream); err != nil || !d.TrimmedAt.IsZero() || d.WrappedBy != 1 {
		t.Errorf("E-3 it is not final yet: %+v %v", d, err)
	}

	_, err = r.Rotate(t.Context())
	check(t, err)
	check(t, r.RewrapAll(t.Context(), nil))
	ringtest.NoteBackup(t, r.Ledger, time.Now().Add(time.Second), 2)
	check(t, r.Retire(t.Context()))
	check(t, r.Trim(t.Context()))
	all = written()
	deks := all.dataKeys(t, kek, c)
	if len(deks) == 0 {
		t.Fatal("the living data key does not open: this test sees nothing")
	}
	if n := all.opens(t, gone.Stream, ids[gone.Stream], append(deks, living()...)...); n != 0 {
		t.Errorf("E-3 the destroyed content key opens at %d places after the trim", n)
	}
	if known, err := r.Destructions(t.Context()); err != nil {
		t.Error(err)
	} else if d, err := known.Stream(t.Context(), gone.Stream); err != nil || d.TrimmedAt.IsZero() {
		t.Errorf("%+v %v", d, err)
	}
}
