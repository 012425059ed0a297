package checkpoints

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"coffre/eventstore/proof"
	"coffre/eventstore/sqlite/sqlitedb"
)

// File is a Place in a file that one process writes. Its methods may be called concurrently.
type File struct {
	path string
	mu   sync.Mutex
}

var _ Place = (*File)(nil)

// InFile returns the place at a path, whose folder must be there.
func InFile(path string) *File { return &File{path: path} }

// Last implements Place.
func (f *File) Last(context.Context) ([]byte, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the last checkpoint: %w", err)
	}
	signed, err := io.ReadAll(io.LimitReader(file, proof.MaxCheckpoint+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read the last checkpoint: %w", err)
	}
	return signed, nil
}

// Replace implements Place: the file is replaced whole, and synced with its folder.
func (f *File) Replace(ctx context.Context, former, next []byte) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, err := f.Last(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(last, former) {
		return ErrOvertaken
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep a checkpoint: %w", err)
		}
	}()
	folder := filepath.Dir(f.path)
	temp, err := os.CreateTemp(folder, ".checkpoint-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // it is gone when it was renamed
	_, err = temp.Write(next)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), f.path); err != nil {
		return err
	}
	return sqlitedb.SyncDir(folder, "")
}
