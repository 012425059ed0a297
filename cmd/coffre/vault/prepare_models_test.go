package vault

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/handlers/contract"
	"coffre/projections"
	"coffre/projections/sqlitemodels"
	"coffre/projections/wallet"
)

// changed is the read model of a release that changed it.
type changed struct{ projections.Projection }

func (c changed) Version() int { return c.Projection.Version() + 1 }

// TestAReleaseBuildsItsReadModelsBesideTheFormerOnes: while one program serves a directory, the
// next one builds what it changed; the former goes on, comes back if it must, and the next finds
// its tables as far as the log was.
func TestAReleaseBuildsItsReadModelsBesideTheFormerOnes(t *testing.T) {
	dir, quiet := DataDir(t.TempDir()), slog.New(slog.DiscardHandler)
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := PrepareModels(t.Context(), dir, Config{}, quiet); err != nil || len(done.Built) > 0 {
		t.Fatalf("everything is there, and built is %v: %v", done, err)
	}
	left := filepath.Join(dir.File(nextModelsFolder), modelsFolder)
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "wallet.v9.g000001.building"), []byte("killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := changed{wallet.New()}
	done, err := prepareModels(t.Context(), dir, Config{}, quiet, []projections.Projection{newModels().accesses, next})
	if err != nil || strings.Join(done.Built, " ") != next.Name() || done.Events == 0 {
		t.Fatalf("built is %+v: %v", done, err)
	}
	if _, err := os.Stat(dir.File(nextModelsFolder)); !os.IsNotExist(err) {
		t.Errorf("what the preparation needed is left: %v", err)
	}
	if health := v.Health(t.Context()); health != contract.HealthStatusUP {
		t.Errorf("the former release is %s", health)
	}
	for range 2 { // the former program ends, comes back and ends
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if v, err = Open(t.Context(), dir, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	medium, err := sqlitemodels.Open(dir.File(modelsFolder))
	if err != nil {
		t.Fatal(err)
	}
	tables, err := medium.Model(next.Name(), next.Version()).Start(t.Context())
	if err != nil || tables == nil {
		t.Fatalf("the next release finds no tables: %v", err)
	}
	defer tables.Close()
	var leaves int64
	if err := tables.Reader().GetContext(t.Context(), &leaves, `SELECT next_leaf FROM checkpoint`); err != nil || leaves < done.Events {
		t.Errorf("its tables have taken in %d events of %d: %v", leaves, done.Events, err)
	}
}
