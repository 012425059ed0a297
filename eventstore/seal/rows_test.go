package seal_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sqlite/sqlitedb"
)

// Wherever a ring from before dies while its rows get their MACs, the next start ends it,
// and every row is true.
func TestFormerRingKilledWhileItGetsMACs(t *testing.T) {
	former := t.TempDir()
	kek := ringtest.OpenKeeper(t, former)
	db, err := keysdb.Open(t.Context(), filepath.Join(former, "keys.db"), sqlitedb.Options{})
	check(t, err)
	ring, err := seal.OpenRing(t.Context(), db, kek, seal.Config{})
	check(t, err)
	for n := range 20 {
		ringtest.Citizen(t, &ringtest.Ring{Ring: ring}, n)
	}
	check(t, ring.Close())
	ringtest.MakeFormer(t, db, kek)
	check(t, db.Close())

	medium, calls := ringtest.NewMedium(t), 0
	for n, broke := 0, true; broke; n++ {
		calls = n
		path := filepath.Join(t.TempDir(), "keys.db")
		bytes, err := os.ReadFile(filepath.Join(former, "keys.db"))
		check(t, err)
		check(t, os.WriteFile(path, bytes, 0o600))
		open := func(o sqlitedb.Options) (*keysdb.DB, *seal.Ring, error) {
			db, err := keysdb.Open(t.Context(), path, o)
			if err != nil {
				return nil, nil, err
			}
			r, err := seal.OpenRing(context.WithoutCancel(t.Context()), db, kek, seal.Config{})
			return db, r, err
		}
		medium.BreakAfter(n)
		db, r, err := open(sqlitedb.Options{VFS: medium.Name})
		broke = medium.Broken()
		if r != nil && err == nil {
			check(t, r.Close())
		}
		if db != nil {
			_ = db.Close() // the medium is gone
		}
		medium.BreakAfter(-1)
		db, r, err = open(sqlitedb.Options{})
		check(t, err)
		if found, err := r.Check(t.Context()); err != nil || len(found) > 0 {
			t.Fatalf("broken at call %d: %v, %v", n, found, err)
		}
		for i := range 20 {
			if _, err := r.Resolve(t.Context(), ringtest.SSIN(i)); err != nil {
				t.Fatalf("broken at call %d: %v", n, err)
			}
		}
		check(t, r.Close())
		check(t, db.Close())
		if n > 2000 {
			t.Fatal("the upgrade has no end")
		}
	}
	if calls < 20 {
		t.Errorf("it was broken at %d calls only", calls)
	}
}

// Rows are changed by what keeps their MACs and sums true: no statement of this package
// goes round it, but those listed here with their reason.
func TestNoStatementGoesRoundTheMACs(t *testing.T) {
	allowed := map[string]string{
		"UPDATE suppressions SET echo": "rows from before, which have no MAC yet",
	}
	names, err := filepath.Glob("*.go")
	check(t, err)
	write := regexp.MustCompile("`(INSERT INTO|UPDATE|DELETE FROM) (\\w+)[^`]*`")
	statements := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || name == "schema.go" {
			continue
		}
		source, err := os.ReadFile(name)
		check(t, err)
		for _, found := range write.FindAllStringSubmatch(string(source), -1) {
			statements++
			if found[2] == "restores" || found[2] == "imitations" { // their rows have no MAC
				continue
			}
			reason := ""
			for begins, why := range allowed {
				if strings.HasPrefix(found[0], "`"+begins) {
					reason = why
				}
			}
			if reason == "" {
				t.Errorf("%s: %s", name, found[0])
			}
		}
	}
	if len(names) < 30 || statements < 3 {
		t.Fatalf("%d files, %d statements were read", len(names), statements)
	}
}
