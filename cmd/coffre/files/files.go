// Package files reads and writes small files for the commands and the wiring: whole or
// not at all, readable by their owner only, and with errors that do not repeat a path.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"coffre/eventstore/sqlite/sqlitedb"
)

// MaxSecret bounds a file that holds a token or a number, in bytes.
const MaxSecret = 16 << 10

// ByteOrderMark is what editors and spreadsheets of some systems put before a text in UTF-8.
// It is no part of the text.
const ByteOrderMark = "\ufeff"

// Text returns a short text that a file holds, without a byte-order mark and without the
// blanks and ends of lines around it.
func Text(b []byte) string {
	return strings.TrimSpace(strings.TrimPrefix(string(b), ByteOrderMark))
}

var errTooLong = errors.New("it is too long")

// ReadAtMost reads all of r, which must not be longer than limit bytes.
func ReadAtMost(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errTooLong
	}
	return b, err
}

// WriteWhole puts what write writes at path, readable by its owner only: whole,
// or not at all.
func WriteWhole(path string, write func(io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+name+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, Cause(err))
	}
	defer func() {
		if err != nil {
			_ = f.Close() // what it says is known, or of no use any more
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", path, Cause(err))
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, Cause(err))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, Cause(err))
	}
	if err := sqlitedb.SyncDir(filepath.Dir(path), ""); err != nil {
		return fmt.Errorf("write %s: %w", path, Cause(err))
	}
	return nil
}

// Cause is what a file's error says besides the path.
func Cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Copy makes a copy that only its owner can read.
func Copy(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return Cause(err)
	}
	defer f.Close() // it was only read
	return WriteWhole(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}
