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

// MaxSmall bounds a file of certificates or of headers, in bytes.
const MaxSmall = 1 << 20

// ReadSmall reads a small file whole. No error repeats its path.
func ReadSmall(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no such file")
	} else if err != nil {
		return nil, Cause(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := ReadAtMost(f, MaxSmall)
	return text, Cause(err)
}

// WriteWhole puts what write writes at path, readable by its owner only: whole,
// or not at all.
func WriteWhole(path string, write func(io.Writer) error) error {
	return writeTo(path, write, os.Rename)
}

// WriteNew is WriteWhole for a path where nothing is: what is there, or comes there while
// write runs, stays as it is, and the error is fs.ErrExist.
func WriteNew(path string, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("write %s: %w", path, fs.ErrExist)
	}
	return writeTo(path, write, func(from, to string) error {
		err := os.Link(from, to) // unlike a rename it replaces nothing
		if err == nil {
			return os.Remove(from)
		}
		if _, there := os.Lstat(to); errors.Is(err, fs.ErrExist) || there == nil {
			return fs.ErrExist
		}
		return os.Rename(from, to) // a file system without links
	})
}

// writeTo writes a file beside path, which put brings there.
func writeTo(path string, write func(io.Writer) error, put func(from, to string) error) (err error) {
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
	if err := put(f.Name(), path); err != nil {
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
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
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
