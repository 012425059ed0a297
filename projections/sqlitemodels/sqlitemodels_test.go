package sqlitemodels

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"coffre/projections"
)

// A page that is new is written once, for it is not in the rollback journal; what was committed
// outlives a crash, after which the build goes on; and its indexes are sorted beside it, whatever
// they need.
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
	var mode, level, sorted string
	if err := f.conn.GetContext(t.Context(), &mode, `PRAGMA journal_mode`); err != nil {
		t.Fatal(err)
	}
	if err := f.conn.GetContext(t.Context(), &level, `PRAGMA synchronous`); err != nil {
		t.Fatal(err)
	}
	if err := f.conn.GetContext(t.Context(), &sorted, `PRAGMA temp_store`); err != nil {
		t.Fatal(err)
	}
	if mode != "truncate" || level != "2" || sorted != "1" {
		t.Fatalf("journal %s, synchronous %s, sorted in %s", mode, level, sorted)
	}
}

// A fault of the driver is not called a want of memory, and what it says is not repeated.
func TestWhatThePanicSaidIsNotRepeated(t *testing.T) {
	for _, said := range []any{errors.New("canary"), "canary", 7} {
		if err := panicked(said); errors.Is(err, errMemory) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), fmt.Sprintf("%T", said)) {
			t.Error(err)
		}
	}
}

// A model that cannot be finished for want of memory is gone, and the process is not.
func TestMemoryDoesNotSuffice(t *testing.T) {
	ctx := sqlite3.WithMaxMemory(t.Context(), 64<<20)
	dir := t.TempDir()
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	model := m.Model("tally", 1)
	built, err := model.Create(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := model.Finish(ctx, built, projections.Schema{Settle: `CREATE TABLE long AS SELECT hex(zeroblob(60000000)) AS x;`}); !errors.Is(err, errMemory) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
