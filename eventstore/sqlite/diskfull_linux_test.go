package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"coffre/eventstore"
)

// TestDiskFullForReal fills a small file system (scenario R6). It needs the right to
// mount; TestDiskFull shows the same without, on a file system of our own.
func TestDiskFullForReal(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("may not mount:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	appended := 0
	add := func(class eventstore.Class) error {
		b := some("consent-1", eventstore.Any)
		b.Class = class
		b.Records[0].Sealed = bytes.Repeat([]byte{7}, 50<<10)
		_, err := s.Append(t.Context(), b)
		if err == nil {
			appended++
		}
		return err
	}
	for err = nil; err == nil; {
		err = add(eventstore.Ordinary)
	}
	if !errors.Is(err, eventstore.ErrDiskFull) || appended < 50 {
		t.Fatalf("after %d appends: %v, want ErrDiskFull", appended, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ReserveName)); err != nil {
		t.Fatalf("ordinary appends ate the reserve: %v", err)
	}
	for range 5 {
		if err := add(eventstore.Reserved); err != nil {
			t.Fatalf("a withdrawal on a full disk: %v", err)
		}
		if err := add(eventstore.Ordinary); !errors.Is(err, eventstore.ErrDiskFull) {
			t.Fatalf("an ordinary append eats the reserve: %v", err)
		}
	}
	if n := count(t, s); n != appended {
		t.Fatalf("%d records are read, %d were appended", n, appended)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	ballast := filepath.Join(dir, "ballast")
	stuff(t, ballast)
	if s, err = Open(t.Context(), dir, Options{}); err != nil {
		t.Fatalf("start on a full disk: %v", err)
	}
	if n := count(t, s); n != appended {
		t.Fatalf("after a start on a full disk %d records are read, %d were appended", n, appended)
	}
	if err := add(eventstore.Ordinary); !errors.Is(err, eventstore.ErrDiskFull) {
		t.Fatalf("%v, want ErrDiskFull", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := add(eventstore.Ordinary); err != nil && !errors.Is(err, eventstore.ErrDiskFull) {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := add(eventstore.Ordinary); err != nil {
			t.Fatalf("once there is room: %v", err)
		}
	}
	if n := count(t, s); n != appended {
		t.Fatalf("%d records are read, %d were appended", n, appended)
	}
}

// stuff writes to path until the disk takes no byte more.
func stuff(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
