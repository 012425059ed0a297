package sqlite

import (
	"errors"

	"github.com/ncruces/go-sqlite3"
)

// ended resets a statement and returns what went wrong while it was stepped.
func ended(s *sqlite3.Stmt) error {
	err := s.Err()
	return errors.Join(err, s.Reset())
}

// full tells whether a write found no room. A sync that fails for want of room is a
// failed sync, and an index of the write-ahead log that cannot grow is met only after
// the commit was written: neither tells that nothing was.
func full(err error) bool { return errors.Is(err, sqlite3.FULL) }

// damage tells whether something stored could not be read.
func damage(err error) bool {
	for _, code := range []sqlite3.ExtendedErrorCode{sqlite3.IOERR_READ, sqlite3.IOERR_SHORT_READ, sqlite3.IOERR_DATA, sqlite3.IOERR_CORRUPTFS} {
		if errors.Is(err, code) {
			return true
		}
	}
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB)
}
