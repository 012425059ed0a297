package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Folder is attachments that lie as files below one folder. One that is not there
// holds none. Files whose names begin with a dot or "unfinished-" are being written.
type Folder string

// Walk implements [Blobs].
func (f Folder) Walk(ctx context.Context, each func(name string, size int64, open func() (io.ReadCloser, error)) error) error {
	root := os.DirFS(string(f))
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // the folder, or what was erased while we looked
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case name == "." || d.IsDir():
			return nil
		case !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "unfinished-"):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		return each(name, info.Size(), func() (io.ReadCloser, error) { return root.Open(name) })
	})
}

// Put writes one attachment, readable by its owner only and durable, where none of
// its name may be.
func (f Folder) Put(name string, size int64, r io.Reader) error {
	if !blobName(name) {
		return errors.New("a name that no attachment has")
	}
	path := filepath.Join(string(f), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, r)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes of %d", n, size)
	}
	return errors.Join(err, file.Sync(), file.Close())
}

// Sync makes every entry below the folder durable.
func (f Folder) Sync() error {
	return filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == string(f) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(path)
	})
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
