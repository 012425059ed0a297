package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/eventstore/sqlite/sqlitedb"
)

// A key ring from before a document was issued is not served, though it knows everybody
// whom the log names: it has no key of what was acknowledged since, and the number of
// whoever was registered and erased since is nowhere in it, so that they would be issued to.
// One row that is gone from the newest ring stops nobody.
func TestAnOlderKeyRingPutBackIsRefused(t *testing.T) {
	dir := vault.DataDir(t.TempDir())
	r := rigOn(t, dir)
	issue := func(ssin, reference string) {
		t.Helper()
		if w := r.issue(t, uuid.New(), ssin, reference); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	issue(ssinA, "before")
	r.close(t)
	read := func() map[string][]byte {
		t.Helper()
		all := map[string][]byte{}
		for _, suffix := range logSuffixes[:2] {
			if b, err := os.ReadFile(dir.File(vault.KeysFile) + suffix); err == nil {
				all[suffix] = b
			} else if !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		return all
	}
	put := func(all map[string][]byte) {
		t.Helper()
		for _, suffix := range logSuffixes {
			path := dir.File(vault.KeysFile) + suffix
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if b, there := all[suffix]; there {
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	before := read()

	r = rigOn(t, dir)
	issue(ssinA, "since")
	issue(ssinB, "b")
	b := r.citizen(t, ssinB)
	r.erase(t, `{"citizenId":"`+b.String()+`","scope":"citizen","reason":"citizenRequest"}`, b)
	r.close(t)
	newest := read()

	put(before)
	if v, err := vault.Open(t.Context(), dir, vault.Options{}); err == nil {
		r = rigOf(t, v, dir)
		t.Errorf("an older key ring is served, and the erased person is issued to: %d", r.issue(t, uuid.New(), ssinB, "again").Code)
		r.close(t)
	} else if !errors.Is(err, vault.ErrOldKeys) {
		t.Error(err)
	}

	put(newest)
	db, err := sqlitedb.Open(t.Context(), dir.File(vault.KeysFile), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Writer.ExecContext(t.Context(), `DELETE FROM stream_keys WHERE id = (SELECT max(id) FROM stream_keys WHERE state = 1)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	r = rigOn(t, dir)
	if w := r.issue(t, uuid.New(), ssinA, "after"); w.Code != http.StatusCreated {
		t.Errorf("a row is gone: %d %s", w.Code, w.Body)
	}
	if w := r.issue(t, uuid.New(), ssinB, "erased"); w.Code != http.StatusConflict {
		t.Errorf("the erased person: %d %s", w.Code, w.Body)
	}
	r.close(t)
}
