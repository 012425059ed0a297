package sqlite

import (
	"errors"
	"io/fs"
	"os"
)

const (
	reserveName  = "events.reserve"
	reserveBytes = 4 << 20 // some 2,500 withdrawals, or the index of a write-ahead log of 16 GiB
)

// reserve is room on the disk held by a file without meaning. A start on a full disk
// gives it up, since even reading needs a little room, and so does an append that
// must pass (rule C-6). While it is gone, other appends find the disk full.
type reserve struct {
	path string
	held bool
}

// hold takes the room unless it is held, and tells whether it is.
func (r *reserve) hold() bool {
	if r.held {
		return true
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return false
	}
	if err := errors.Join(allocate(f, reserveBytes), f.Close()); err != nil {
		os.Remove(r.path) // a part of the room is of no use to us, and of some to others
		return false
	}
	r.held = true
	return true
}

// release gives the room back, and tells whether there was any.
func (r *reserve) release() bool {
	err := os.Remove(r.path)
	r.held = err != nil && !errors.Is(err, fs.ErrNotExist)
	return err == nil
}

// fill writes size zeroes to f.
func fill(f *os.File, size int64) error {
	_, err := f.WriteAt(make([]byte, size), 0)
	return err
}
