package vault

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A data directory is closed to other accounts when it is made and when it is taken; one that
// cannot be closed is not taken.
func TestF36DataDirectoryIsClosedToOthers(t *testing.T) {
	for name, mode := range map[string]os.FileMode{"new": 0, "open to read": 0o755, "open to a group": 0o770, "open to all": 0o777, "to be entered": 0o701, "closed": 0o700} {
		dir := DataDir(filepath.Join(t.TempDir(), "data"))
		if mode != 0 {
			if err := errors.Join(os.Mkdir(string(dir), mode), os.Chmod(string(dir), mode)); err != nil {
				t.Fatal(err)
			}
		}
		release, err := dir.Own()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if info, err := os.Stat(string(dir)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: the mode is %v, %v", name, info.Mode(), err)
		}
		if err := release(); err != nil {
			t.Error(err)
		}
	}
	const kernels = "/proc/self" // of the mode 0555, and nobody may change it
	if info, err := os.Stat(kernels); err == nil && info.Mode().Perm()&0o077 != 0 {
		if _, err := DataDir(kernels).Own(); !errors.Is(err, ErrOpenToOthers) {
			t.Errorf("a folder that cannot be closed: %v", err)
		}
	}
}
