package sqlitedb

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// allocate gives f room for size bytes without writing them, where it can.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return fill(f, size)
	}
	return err
}

// freeAtLeast tells whether the disk that a file lies on has so many bytes free, or does
// not say.
func freeAtLeast(path string, bytes int64) bool {
	var disk syscall.Statfs_t
	return syscall.Statfs(filepath.Dir(path), &disk) != nil || int64(disk.Bavail)*disk.Bsize >= bytes
}
