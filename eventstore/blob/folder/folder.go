// Package folder keeps blobs as files in a folder of this machine, readable by its
// owner only.
//
// A blob is written to a file of another name, synced, linked to its own name, and
// the folder synced: it appears whole or not at all, and what was acknowledged
// survives a power cut. Deleting removes the name: the bytes were sealed under a key
// that is gone by then, and no file system promises to overwrite them.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/blob"
)

// Store is a blob.Store in a folder. Processes of one machine may have it together: a blob
// appears whole under a name that is given once.
type Store struct {
	dir   string
	ready sync.Map             // folders that are there, durably
	sync  func(*os.File) error // os.File.Sync, or what a test makes of it
}

var _ blob.Store = (*Store)(nil)

const (
	unfinished = "unfinished-" // what the names of files that are not whole begin with
	// abandoned is the age from which an unfinished file is nobody's any more.
	abandoned = time.Hour
)

// Open makes the folder if need be and removes what earlier processes left
// unfinished.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, sync: (*os.File).Sync}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unavailable(err)
	}
	if err := s.syncFolder(filepath.Dir(dir)); err != nil {
		return nil, unavailable(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unavailable(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && time.Since(info.ModTime()) > abandoned {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return nil, unavailable(err)
		}
	}
	return s, nil
}

// unavailable hides the path, which is the operator's to know and not a caller's.
func unavailable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = fmt.Errorf("%s: %w", link.Op, link.Err)
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

// place is where a blob lies: a folder of its first two digits keeps folders small.
func (s *Store) place(name uuid.UUID) (folder, file string) {
	text := name.String()
	folder = filepath.Join(s.dir, text[:2])
	return folder, filepath.Join(folder, text)
}

func (s *Store) syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(f), f.Close())
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name uuid.UUID, content io.Reader, size int64) (err error) {
	folder, file := s.place(name)
	if _, err := os.Lstat(file); err == nil {
		return blob.ErrExists
	}
	temp, err := os.CreateTemp(s.dir, unfinished) // 0600
	if err != nil {
		return unavailable(err)
	}
	defer func() {
		if gone := os.Remove(temp.Name()); gone != nil && err == nil {
			err = unavailable(gone)
		}
	}()
	source := &source{ctx: ctx, from: content}
	n, err := io.Copy(temp, source)
	switch {
	case source.err != nil:
		err = fmt.Errorf("blob: read the content: %w", source.err)
	case err != nil:
		err = unavailable(err)
	case n != size:
		err = blob.ErrSize
	default:
		if err = s.sync(temp); err != nil {
			err = unavailable(err)
		}
	}
	if shut := temp.Close(); shut != nil && err == nil {
		err = unavailable(shut)
	}
	if err != nil {
		return err
	}
	return s.appear(temp.Name(), folder, file)
}

// appear gives a whole file its name.
func (s *Store) appear(temp, folder, file string) error {
	if err := s.prepare(folder); err != nil {
		return unavailable(err)
	}
	switch err := os.Link(temp, file); { // unlike a rename it replaces nothing
	case errors.Is(err, fs.ErrExist):
		return blob.ErrExists
	case err != nil:
		return unavailable(err)
	}
	if err := s.syncFolder(folder); err != nil {
		return errors.Join(unavailable(err), os.Remove(file))
	}
	return nil
}

// prepare sees to it that a folder is there, durably.
func (s *Store) prepare(folder string) error {
	if _, done := s.ready.Load(folder); done {
		return nil
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.syncFolder(s.dir); err != nil { // who made it may have died before
		return err
	}
	s.ready.Store(folder, true)
	return nil
}

// source keeps apart what went wrong with the content from what did with the file,
// and ends with ctx.
type source struct {
	ctx  context.Context
	from io.Reader
	err  error
}

func (s *source) Read(p []byte) (n int, err error) {
	if err = s.ctx.Err(); err == nil {
		n, err = s.from.Read(p)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Open implements blob.Store.
func (s *Store) Open(_ context.Context, name uuid.UUID, offset int64) (io.ReadCloser, error) {
	_, file := s.place(name)
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, blob.ErrNotFound
	case err != nil:
		return nil, unavailable(err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(unavailable(err), f.Close())
	}
	return reader{f}, nil
}

type reader struct{ *os.File }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	if err != nil && err != io.EOF {
		err = unavailable(err)
	}
	return n, err
}

// Delete implements blob.Store.
func (s *Store) Delete(_ context.Context, name uuid.UUID) error {
	folder, file := s.place(name)
	err := os.Remove(file)
	if err == nil {
		err = s.syncFolder(folder)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unavailable(err)
	}
	return nil
}

// Walk implements blob.Store.
func (s *Store) Walk(ctx context.Context, each func(blob.Info) error) error {
	folders, err := os.ReadDir(s.dir)
	if err != nil {
		return unavailable(err)
	}
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(s.dir, folder.Name()))
		if err != nil {
			return unavailable(err)
		}
		for _, f := range files {
			name, err := uuid.Parse(f.Name())
			if err != nil || name.String() != f.Name() || !f.Type().IsRegular() || f.Name()[:2] != folder.Name() {
				continue
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
			}
			info, err := f.Info()
			switch {
			case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
				continue
			case err != nil:
				return unavailable(err)
			}
			if err := each(blob.Info{Name: name, Size: info.Size(), Stored: info.ModTime()}); err != nil {
				return err
			}
		}
	}
	return nil
}
