package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadModelsArePreparedBesideWhoServes: the command asks nobody, builds only what is not
// there, and a vault that is opened afterwards answers from it.
func TestReadModelsArePreparedBesideWhoServes(t *testing.T) {
	r := newRig(t)
	prepare := []string{"projections", "prepare", "--data", string(r.dir)}
	if got := (&shell{t: t}).must(0, prepare...); !strings.Contains(got.out, "every read model of this release is there") {
		t.Errorf("says %q", got.out)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(r.dir.File("readmodels/wallet.*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if got := (&shell{t: t}).must(0, append(prepare, "--json")...); !strings.Contains(got.out, `"built":["wallet"]`) {
		t.Errorf("says %q", got.out)
	}
	again := rigOn(t, r.dir)
	if all, err := again.Runner.Status(t.Context()); err != nil || all[0].Name != "wallet" || !all[0].RebuildingSince.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	again.close(t)
	empty := t.TempDir()
	got := (&shell{t: t}).must(exitFailed, "projections", "prepare", "--data", empty)
	if made, err := os.ReadDir(empty); !strings.Contains(got.err, "there is no log in") || err != nil || len(made) > 0 {
		t.Errorf("says %q, makes %v, %v", got.err, made, err)
	}
}
