package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"coffre/eventstore/sqlite/sqlitedb"
)

// maxSecret bounds a file that holds a token or a number, in bytes.
const maxSecret = 16 << 10

var errTooLong = errors.New("it is too long")

// readSome reads all of r, which must not be longer than limit bytes.
func readSome(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errTooLong
	}
	return b, err
}

// writeWhole puts what write writes at path, readable by its owner only: whole,
// or not at all.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+name+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
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
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	if err := sqlitedb.SyncDir(filepath.Dir(path), ""); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	return nil
}

// cause is what a file's error says besides the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// copyFile makes a copy that only its owner can read.
func copyFile(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return cause(err)
	}
	defer f.Close() // it was only read
	return writeWhole(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}
