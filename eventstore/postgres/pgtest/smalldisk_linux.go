package pgtest

import (
	"fmt"
	"net/url"
	"syscall"
	"testing"
)

// SmallDisk moves the database at dsn, which nobody uses yet, to a file system of its own of
// so many megabytes until the test ends, when the server is stopped. It returns where that
// lies, and what changes its size. It needs the right to mount, and skips the test without.
func (s *Server) SmallDisk(t testing.TB, dsn string, megabytes int) (dir string, resize func(megabytes int)) {
	t.Helper()
	dir = s.Directory(t)
	var owner syscall.Stat_t
	need(t, syscall.Stat(dir, &owner))
	mount := func(flags uintptr, megabytes int) error {
		return syscall.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%dm,mode=0700,uid=%d,gid=%d", megabytes, owner.Uid, owner.Gid))
	}
	if err := mount(0, megabytes); err != nil {
		t.Skip("may not mount:", err)
	}
	t.Cleanup(func() {
		s.Stop(t)
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s.Exec(t, fmt.Sprintf(`CREATE TABLESPACE small LOCATION '%s'`, dir))
	u, err := url.Parse(dsn)
	need(t, err)
	s.Exec(t, fmt.Sprintf(`ALTER DATABASE %q SET TABLESPACE small`, u.User.Username()))
	return dir, func(megabytes int) {
		t.Helper()
		need(t, mount(syscall.MS_REMOUNT, megabytes))
	}
}
