package sqlitemodels

import (
	"context"
	"testing"
)

// A page that is new is written once, for it is not in the rollback journal, and what was
// committed outlives a crash, after which the build goes on.
func TestBuildsAreDurableAndWriteNewPagesOnce(t *testing.T) {
	m, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tables, err := m.Model("tally", 1).Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	f := tables.(*file)
	defer f.Remove(context.Background())
	defer f.Close()
	var mode, level string
	if err := f.conn.GetContext(t.Context(), &mode, `PRAGMA journal_mode`); err != nil {
		t.Fatal(err)
	}
	if err := f.conn.GetContext(t.Context(), &level, `PRAGMA synchronous`); err != nil {
		t.Fatal(err)
	}
	if mode != "truncate" || level != "2" {
		t.Fatalf("journal %s, synchronous %s", mode, level)
	}
}
