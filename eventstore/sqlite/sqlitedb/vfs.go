package sqlitedb

import (
	"errors"
	"os"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// The driver's file system looks for a full disk in the wrong place (it expects the
// bare error number, and os.File wraps it), so that SQLite would take it for a broken
// one; and it makes the index of a write-ahead log readable by others. This one is that
// file system, tells, and makes the index first. And it would put temporary files into the
// machine's folder for them, which a container may not write and whose disk may be small:
// here they lie beside their database, see [Spill].

// fileSystem is the file system of the databases in one directory.
type fileSystem struct {
	vfs.VFSFilename
	dir string
}

// register returns the name of the file system of the databases in dir.
func register(dir string) string {
	name := "coffre " + dir
	if vfs.Find(name) == nil { // of two that find none both register the same
		vfs.Register(name, fileSystem{vfs.Find("os").(vfs.VFSFilename), dir})
	}
	return name
}

// OpenFilename implements vfs.VFSFilename.
func (f fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if name == nil {
		t, err := openTemporary(f.dir)
		return t, flags, err
	}
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
	return n, told(err)
}

// told gives a full disk the code that SQLite has for it.
func told(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
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

// temporary is a file of one connection that no folder names any more.
type temporary struct{ *os.File }

// openTemporary makes one on the disk of dir. A process that is killed between the two calls
// leaves an empty file.
func openTemporary(dir string) (vfs.File, error) {
	f, err := os.CreateTemp(dir, "sorting-*")
	if err != nil {
		return nil, told(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return temporary{f}, nil
}

func (f temporary) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, told(err)
}

func (f temporary) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Nobody else has the file, and nobody reads it after a crash.
func (temporary) Sync(vfs.SyncFlag) error                         { return nil }
func (temporary) Lock(vfs.LockLevel) error                        { return nil }
func (temporary) Unlock(vfs.LockLevel) error                      { return nil }
func (temporary) CheckReservedLock() (bool, error)                { return false, nil }
func (temporary) SectorSize() int                                 { return 0 }
func (temporary) DeviceCharacteristics() vfs.DeviceCharacteristic { return 0 }
