package sqlitedb

import (
	"errors"
	"sync"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// The driver's file system looks for a full disk in the wrong place (it expects the
// bare error number, and os.File wraps it), so that SQLite would take it for a broken
// one. This one is that file system, and tells.

const vfsName = "coffre"

var register = sync.OnceFunc(func() { vfs.Register(vfsName, fileSystem{vfs.Find("os").(vfs.VFSFilename)}) })

type fileSystem struct{ vfs.VFSFilename }

// OpenFilename implements vfs.VFSFilename.
func (f fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := f.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return file{inner}, flags, nil
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
