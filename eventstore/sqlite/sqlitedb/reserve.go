package sqlitedb

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// Reserve is room on the disk held by a file without meaning. A start on a full disk
// gives it up, since even reading needs a little room, and so does a write that must pass
// (rule C-6). While it is gone, or was found to be all there is, other writes are refused
// as if the disk were full. Several databases on one disk share one. Its methods may be
// called concurrently.
type Reserve struct {
	path  string
	bytes int64

	mu    sync.Mutex
	held  bool
	tight bool // a write found no room, and no probe has found any since
}

const (
	probeBytes  = 2 << 20  // of room, besides the reserve, that ends a shortage
	probeSuffix = ".probe" // of a file that is made to see whether there is room, and removed
)

// NewReserve returns a reserve of so many bytes in the file at path, which is not made
// before Hold.
func NewReserve(path string, bytes int64) *Reserve { return &Reserve{path: path, bytes: bytes} }

// Hold takes the room unless it is held, and tells whether it is.
func (r *Reserve) Hold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hold()
}

// hold takes room that is not held only when there is more besides: whoever it was given
// up for, perhaps by an earlier process, may not have used it yet.
func (r *Reserve) hold() bool {
	if r.held {
		return true
	}
	info, err := os.Stat(r.path)
	if whole := err == nil && info.Size() >= r.bytes; !whole && !freeAtLeast(r.path, r.bytes+probeBytes) {
		return false
	} else if r.held = occupy(r.path, r.bytes); r.held && !whole && !r.probe(probeBytes) {
		os.Remove(r.path)
		r.held = false
	}
	return r.held
}

// probe tells whether there is so much room.
func (r *Reserve) probe(bytes int64) bool {
	path := r.path + probeSuffix
	found := occupy(path, bytes)
	if found {
		found = os.Remove(path) == nil
	}
	return found
}

// occupy makes a file that holds so much room, and none when there is less.
func occupy(path string, bytes int64) bool {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return false
	}
	if err := errors.Join(allocate(f, bytes), f.Close()); err != nil {
		os.Remove(path) // a part of the room is of no use to us, and of some to others
		return false
	}
	return true
}

// ReleaseUnless gives the room back unless so much more is free, and tells whether it is:
// for a start, which makes files.
func (r *Reserve) ReleaseUnless(free int64) bool {
	r.mu.Lock()
	enough := r.probe(free)
	r.mu.Unlock()
	if !enough {
		r.Release()
	}
	return enough
}

// Release gives the room back, and tells whether there was any.
func (r *Reserve) Release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := os.Remove(r.path)
	r.held = err != nil && !errors.Is(err, fs.ErrNotExist)
	return err == nil
}

// Filled notes that a write found no room.
func (r *Reserve) Filled() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tight = true
}

// Short reports whether the disk is short of room, so that only what must pass may be
// written. While it is, each call looks whether there is room again, and takes the reserve
// back.
func (r *Reserve) Short() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.hold() {
		return true
	}
	r.tight = r.tight && !r.probe(probeBytes)
	return r.tight
}

// NoRoom tells whether an error means that a file could not be made or grow: of whatever
// an opening makes, the index of the write-ahead log is needed for reading, too.
func NoRoom(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_SHMSIZE) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fill writes size zeroes to f.
func fill(f *os.File, size int64) error {
	_, err := f.WriteAt(make([]byte, size), 0)
	return err
}
