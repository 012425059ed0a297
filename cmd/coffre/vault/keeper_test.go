package vault

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// A lost key file is told as what it is, no new one is made, and the copy of it opens
// the vault again.
func TestALostKeyFileIsTold(t *testing.T) {
	dir := DataDir(t.TempDir())
	open := func() error {
		v, err := Open(t.Context(), dir, Options{})
		if err != nil {
			return err
		}
		return v.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	kept := dir.File("kept-apart")
	if err := os.Rename(dir.File(KEKFile), kept); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, ErrNoKeyFile) || !strings.HasPrefix(err.Error(), "the key file kek.json of this data directory is missing") {
		t.Errorf("without the key file: %v", err)
	}
	if _, err := os.Stat(dir.File(KEKFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a key file was made", err)
	}
	if err := os.Rename(kept, dir.File(KEKFile)); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Error(err)
	}
}
