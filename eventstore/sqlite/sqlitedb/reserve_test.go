package sqlitedb

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReserve(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	path := filepath.Join(dir, "reserve")
	size := func() int64 {
		if info, err := os.Stat(path); err == nil {
			return info.Size()
		}
		return -1
	}
	r := NewReserve(path, 1<<16)
	if r.Hold() || !r.Short() || r.Release() {
		t.Error("a disk that takes nothing is not short of room")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if r.Short() || size() != 1<<16 {
		t.Errorf("with room the reserve has %d bytes", size())
	}
	r.Filled()
	block := path + probeSuffix // where nothing can be made now
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	if !r.Short() || size() != 1<<16 {
		t.Errorf("after a write that found no room it is short, and keeps the reserve of %d bytes", size())
	}
	if r.ReleaseUnless(1) || size() != -1 {
		t.Errorf("a start without room keeps the reserve of %d bytes", size())
	}
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	if r.Short() || size() != 1<<16 {
		t.Errorf("with room again the reserve has %d bytes", size())
	}
	if !r.ReleaseUnless(1) || size() != 1<<16 {
		t.Errorf("a start with room leaves the reserve of %d bytes", size())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left, %v", left, err)
	}
	if !r.Release() || r.Release() || size() != -1 {
		t.Errorf("released, it has %d bytes", size())
	}
}
