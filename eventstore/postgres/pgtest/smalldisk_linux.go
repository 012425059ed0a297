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
	dir, resize, err := s.TrySmallDisk(t, dsn, megabytes)
	if err != nil {
		t.Skip(err)
	}
	return dir, resize
}

// TrySmallDisk is SmallDisk, and leaves the database where it is with an error where the test may
// not mount.
func (s *Server) TrySmallDisk(t testing.TB, dsn string, megabytes int) (dir string, resize func(megabytes int), err error) {
	t.Helper()
	dir = s.Directory(t)
	var owner syscall.Stat_t
	need(t, syscall.Stat(dir, &owner))
	mount := func(flags uintptr, megabytes int) error {
		return syscall.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%dm,mode=0700,uid=%d,gid=%d", megabytes, owner.Uid, owner.Gid))
	}
	if err := mount(0, megabytes); err != nil {
		return "", nil, fmt.Errorf("may not mount: %w", err)
	}
	t.Cleanup(func() {
		stopped := s.cluster.control("-m", "fast", "stop") // which fails where the test stopped it
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err, stopped)
		}
	})
	s.Exec(t, fmt.Sprintf(`CREATE TABLESPACE small LOCATION '%s'`, dir))
	u, err := url.Parse(dsn)
	need(t, err)
	s.Exec(t, fmt.Sprintf(`ALTER DATABASE %q SET TABLESPACE small`, u.User.Username()))
	return dir, func(megabytes int) {
		t.Helper()
		need(t, mount(syscall.MS_REMOUNT, megabytes))
	}, nil
}
