package domaintest

import (
	"os"
	"path/filepath"
	"testing"
)

// SharedData returns the path of a file or folder of the shared test data, for
// example SharedData(t, "import/ehic.jsonl"). The data lies in the folder data
// of COFFRE_SHARED or, when that is not set, of a folder "shared" beside the
// working directory or beside any folder above it.
//
// When it is missing the test fails if CI=true; elsewhere it says that it was
// not run and gets ok = false, on which it returns.
func SharedData(t testing.TB, name string) (path string, ok bool) {
	t.Helper()
	for _, shared := range sharedFolders() {
		path := filepath.Join(shared, "data", filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("the shared data %s is missing: set COFFRE_SHARED", name)
	}
	t.Logf("not run: the shared data %s is missing, set COFFRE_SHARED to the folder that holds data/", name)
	return "", false
}

func sharedFolders() []string {
	if dir := os.Getenv("COFFRE_SHARED"); dir != "" {
		return []string{dir}
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	var found []string
	for {
		found = append(found, filepath.Join(filepath.Dir(dir), "shared"))
		up := filepath.Dir(dir)
		if up == dir {
			return found
		}
		dir = up
	}
}
