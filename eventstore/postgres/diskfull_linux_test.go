package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgtest"
)

// TestDiskFullForReal keeps the log on a small file system of its own and fills it
// (scenario R6). It needs the right to mount.
func TestDiskFullForReal(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	dir := server.Directory(t)
	var owner syscall.Stat_t
	if err := syscall.Stat(dir, &owner); err != nil {
		t.Fatal(err)
	}
	size := func(megabytes int) string {
		return fmt.Sprintf("size=%dm,mode=0700,uid=%d,gid=%d", megabytes, owner.Uid, owner.Gid)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, size(24)); err != nil {
		t.Skip("may not mount:", err)
	}
	t.Cleanup(func() {
		server.Stop(t)
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	server.Exec(t, fmt.Sprintf(`CREATE TABLESPACE small LOCATION '%s'`, dir))
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, fmt.Sprintf(`ALTER DATABASE %q SET TABLESPACE small`, u.User.Username()))

	s := openStore(t, dsn, Options{})
	appended := 0
	add := func() error {
		b := some1("consent-1")
		b.Records[0].Sealed = bytes.Repeat([]byte{7}, 50<<10)
		_, err := s.Append(t.Context(), b)
		if err == nil {
			appended++
		}
		return err
	}
	for err = nil; err == nil; {
		err = add()
	}
	if !errors.Is(err, eventstore.ErrDiskFull) || appended < 50 {
		t.Fatalf("after %d appends: %v, want ErrDiskFull", appended, err)
	}
	if n, err := readAll(t.Context(), s); err != nil || n != appended {
		t.Fatalf("on a full disk %d records, %v, want %d", n, err, appended)
	}
	// It opens and reads on a full disk.
	if n, err := readAll(t.Context(), openStore(t, dsn, Options{})); err != nil || n != appended {
		t.Fatalf("opened on a full disk: %d records, %v, want %d", n, err, appended)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, size(64)); err != nil {
		t.Fatal(err)
	}
	for range 20 { // without being reopened
		if err := add(); err != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	if n, err := readAll(t.Context(), s); err != nil || n != appended {
		t.Fatalf("%d records, %v, want %d", n, err, appended)
	}
}
