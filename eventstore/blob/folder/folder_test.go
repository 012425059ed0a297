package folder

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/blob"
	"coffre/eventstore/blob/blobtest"
	"coffre/eventstore/faulty/faultyblob"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T, again blob.Store) blob.Store {
		if again != nil {
			return open(t, again.(*Store).dir)
		}
		return open(t, filepath.Join(t.TempDir(), "blobs"))
	})
}

func TestBehindFaults(t *testing.T) {
	blobtest.Run(t, func(t *testing.T, again blob.Store) blob.Store {
		if again != nil {
			return again
		}
		return faultyblob.New(open(t, filepath.Join(t.TempDir(), "blobs")), nil)
	})
}

// Nobody but the owner reads a blob, and its name says nothing.
func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir)
	name := blobtest.Put(t, s, []byte("x"))
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode().Perm(); {
		case d.IsDir() && mode != 0o700, !d.IsDir() && mode != 0o600:
			t.Errorf("%s has mode %o", d.Name(), mode)
		case !d.IsDir():
			files++
			if d.Name() != name.String() {
				t.Errorf("%s is another name", d.Name())
			}
		}
		return nil
	})
	if err != nil || files != 1 {
		t.Errorf("%d files, %v", files, err)
	}
}

// A blob is acknowledged once its bytes and its name are on the medium, in this
// order; when one of them is not, it is not there.
func TestNothingIsAcknowledgedUnsynced(t *testing.T) {
	broken := errors.New("the medium is broken")
	for failing := range 5 {
		dir := filepath.Join(t.TempDir(), "blobs")
		s := open(t, dir)
		var synced []string
		s.sync = func(f *os.File) error {
			what, err := filepath.Rel(dir, f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if what, _, _ = strings.Cut(what, "-"); len(what) == 2 {
				what = "folder"
			}
			if synced = append(synced, what); len(synced) == failing {
				return broken
			}
			return f.Sync()
		}
		name := uuid.New()
		err := s.Put(t.Context(), name, bytes.NewReader([]byte("x")), 1)
		if got, want := strings.Join(synced, " "), "unfinished . folder"; !strings.HasPrefix(want, got) || err == nil && got != want {
			t.Errorf("synced %q", got)
		}
		if failed := failing >= 1 && failing <= 3; failed != errors.Is(err, broken) || failed != errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("sync %d fails: %v", failing, err)
		}
		if there := len(blobtest.Names(t, s)) == 1; there != (err == nil) {
			t.Errorf("sync %d fails: the blob is there: %v", failing, there)
		}
		left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
		if err != nil || len(left) != 0 {
			t.Errorf("%d unfinished files are left", len(left))
		}
	}
}

// What a dead process left is removed, what another may still write is not.
func TestUnfinishedFilesAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir)
	name := blobtest.Put(t, s, []byte("x"))
	old, young := filepath.Join(dir, unfinished+"1"), filepath.Join(dir, unfinished+"2")
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Error(err)
	}
	if all := blobtest.Names(t, s); len(all) != 1 || all[name].Size != 1 {
		t.Errorf("%v", all)
	}
}

// An error names no path.
func TestErrorsNameNoPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "canary")
	s := open(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := s.Put(t.Context(), uuid.New(), bytes.NewReader([]byte("x")), 1)
	if !errors.Is(err, blob.ErrUnavailable) || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}

// Two that have a folder together find what the other one keeps, and keep nothing twice.
func TestTwoShareAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	one, two := open(t, dir), open(t, dir)
	for _, by := range [][2]*Store{{one, two}, {two, one}} {
		content := []byte("of either")
		name := blobtest.Put(t, by[0], content)
		found, err := by[1].Open(t.Context(), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(found)
		if err := errors.Join(err, found.Close()); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q: %v", got, err)
		}
		if err := by[1].Put(t.Context(), name, bytes.NewReader(content), int64(len(content))); !errors.Is(err, blob.ErrExists) {
			t.Errorf("kept twice: %v", err)
		}
	}
}
