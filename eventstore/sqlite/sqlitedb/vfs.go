package sqlitedb

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// The driver's file system looks for a full disk in the wrong place (it expects the
// bare error number, and os.File wraps it), so that SQLite would take it for a broken
// one; and it makes the index of a write-ahead log readable by others. This one is that
// file system, tells, and makes the index first.

const vfsName = "coffre"

var register = sync.OnceFunc(func() { vfs.Register(vfsName, fileSystem{vfs.Find("os").(vfs.VFSFilename)}) })

type fileSystem struct{ vfs.VFSFilename }

// OpenFilename implements vfs.VFSFilename.
func (f fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := f.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	if flags&vfs.OPEN_MAIN_DB != 0 {
		if err := makeIndex(name.String() + "-shm"); err != nil {
			return nil, flags, errors.Join(vfs.SystemError(err, sqlite3.CANTOPEN), inner.Close())
		}
	}
	return Gather(file{inner}, name, flags), flags, nil
}

// makeIndex makes the index of a write-ahead log, empty and as private as the database,
// unless it is there. Without room for it the driver tries, and tells.
func makeIndex(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(fileMode), f.Close()) // one that a killed process left, too
}

type file struct{ vfs.File }

var (
	_ vfs.FileSharedMemory       = file{}
	_ vfs.FileLockState          = file{}
	_ vfs.FilePersistWAL         = file{}
	_ vfs.FilePowersafeOverwrite = file{}
	_ vfs.FileHasMoved           = file{}
)

func (f file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return n, vfs.SystemError(err, sqlite3.FULL)
	}
	return n, err
}

func (f file) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}
func (f file) LockState() vfs.LockLevel { return f.File.(vfs.FileLockState).LockState() }
func (f file) PersistWAL() bool         { return f.File.(vfs.FilePersistWAL).PersistWAL() }
func (f file) SetPersistWAL(keep bool)  { f.File.(vfs.FilePersistWAL).SetPersistWAL(keep) }
func (f file) PowersafeOverwrite() bool {
	return f.File.(vfs.FilePowersafeOverwrite).PowersafeOverwrite()
}
func (f file) SetPowersafeOverwrite(b bool) {
	f.File.(vfs.FilePowersafeOverwrite).SetPowersafeOverwrite(b)
}
func (f file) HasMoved() (bool, error) { return f.File.(vfs.FileHasMoved).HasMoved() }
