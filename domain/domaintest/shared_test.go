package domaintest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSharedDataIsFoundBesideAFolderAbove(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "project", "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "shared", "data", "import"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(root, "shared", "data", "import", "x.jsonl")
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"by the working directory", "by COFFRE_SHARED"} {
		t.Run(from, func(t *testing.T) {
			if from == "by COFFRE_SHARED" {
				t.Setenv("COFFRE_SHARED", filepath.Join(root, "shared"))
				t.Chdir(root)
			} else {
				t.Setenv("COFFRE_SHARED", "")
				t.Chdir(deep)
			}
			got, ok := SharedData(t, "import/x.jsonl")
			if !ok {
				t.Fatal("not found")
			}
			wantInfo, err := os.Stat(want)
			if err != nil {
				t.Fatal(err)
			}
			gotInfo, err := os.Stat(got)
			if err != nil || !os.SameFile(wantInfo, gotInfo) {
				t.Errorf("found another file: %v", err)
			}
		})
	}
}

func TestMissingSharedDataIsNotSilent(t *testing.T) {
	t.Setenv("COFFRE_SHARED", t.TempDir())
	for ci, fails := range map[string]bool{"true": true, "": false} {
		t.Setenv("CI", ci)
		rec := &recorder{TB: t}
		done := make(chan bool, 1)
		go func() { // FailNow ends its goroutine
			defer func() { done <- true }()
			if _, ok := SharedData(rec, "nothing"); ok {
				t.Error("found what does not exist")
			}
		}()
		<-done
		if rec.failed != fails || !fails && rec.logs == 0 {
			t.Errorf("CI=%q: failed %v, logged %d lines", ci, rec.failed, rec.logs)
		}
	}
}
