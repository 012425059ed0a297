package ringtest

import (
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// Medium is a file system for SQLite over the real one that a test can break: it
// counts the calls that change a file, and from a chosen one on all of them err,
// as when the process had died or the disk had gone. What was written before
// stays in the files.
type Medium struct {
	Name string // what sqlitedb.Options.VFS takes

	mu    sync.Mutex
	calls int
	limit int // the first call that errs, from 1; 0 for none
	syncs int
}

// NewMedium registers a medium for the time of the test.
func NewMedium(t testing.TB) *Medium {
	m := &Medium{Name: "medium-" + t.Name()}
	vfs.Register(m.Name, medium{m, vfs.Find("")})
	t.Cleanup(func() { vfs.Unregister(m.Name) })
	return m
}

// BreakAfter lets n more calls pass and errs from then on; n < 0 mends the medium.
func (m *Medium) BreakAfter(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = 0
	if n >= 0 {
		m.limit = m.calls + n + 1
	}
}

// Broken reports whether a call erred since BreakAfter.
func (m *Medium) Broken() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit > 0 && m.calls >= m.limit
}

// Syncs counts the syncs of files until now.
func (m *Medium) Syncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// SyncDir implements sqlitedb.DirSyncer.
func (m medium) SyncDir(string) error { return m.call() }

func (m *Medium) call() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.limit > 0 && m.calls >= m.limit {
		return sqlite3.IOERR_FSYNC
	}
	return nil
}

type medium struct {
	*Medium
	vfs.VFS
}

func (m medium) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := m.VFS.(vfs.VFSFilename).OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return mediumFile{f, m.Medium}, flags, nil
}

func (m medium) Delete(name string, syncDir bool) error {
	if err := m.call(); err != nil {
		return err
	}
	return m.VFS.Delete(name, syncDir)
}

type mediumFile struct {
	vfs.File
	m *Medium
}

func (f mediumFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.m.call(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f mediumFile) Truncate(size int64) error {
	if err := f.m.call(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f mediumFile) Sync(flags vfs.SyncFlag) error {
	if err := f.m.call(); err != nil {
		return err
	}
	f.m.mu.Lock()
	f.m.syncs++
	f.m.mu.Unlock()
	return f.File.Sync(flags)
}

// SharedMemory passes on what the write-ahead log needs.
func (f mediumFile) SharedMemory() vfs.SharedMemory {
	if shared, ok := f.File.(vfs.FileSharedMemory); ok {
		return shared.SharedMemory()
	}
	return nil
}
