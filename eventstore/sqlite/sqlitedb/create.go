package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

const (
	fileMode  = fs.FileMode(0o600)
	newSuffix = ".new"
)

// create makes an empty database at path unless one is there. It makes it beside and
// renames it, because a power cut while SQLite writes a file's first page would leave
// one that nothing opens any more.
func create(ctx context.Context, path string, o Options) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fsys, beside := mediumOf(o.VFS), path+newSuffix
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := fsys.Remove(beside + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("create %s: %w", filepath.Base(path), err)
		}
	}
	if o.VFS == "" { // first ours, because SQLite would let others read it
		f, err := os.OpenFile(beside, os.O_CREATE|os.O_RDWR, fileMode)
		if err != nil {
			return fmt.Errorf("create %s: %w", filepath.Base(path), err)
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	c, err := connect(ctx, beside, o, Write)
	if err != nil {
		return err
	}
	if err := c.Close(); err != nil { // moves everything into the one file, and syncs it
		return fmt.Errorf("create %s: %w", filepath.Base(path), err)
	}
	if err := fsys.Rename(beside, path); err != nil {
		return fmt.Errorf("create %s: %w", filepath.Base(path), err)
	}
	return SyncDir(filepath.Dir(path), o.VFS)
}

// Medium is the part of a file system that this package uses past SQLite. A test's file
// system implements it beside vfs.VFS, to see it and to break it.
type Medium interface {
	// Resync makes durable what everybody reads in the file at path: it writes the bytes
	// over themselves and syncs them. A sync alone would not do. Where an earlier one
	// failed, the pages may count as written and never have reached the medium. Nobody
	// else writes to the file meanwhile.
	Resync(path string) error
	SyncDir(dir string) error
	Rename(from, to string) error
	Remove(path string) error // an error that is fs.ErrNotExist when there is none
}

// mediumOf returns the directories beneath a file system of the driver.
func mediumOf(vfsOption string) Medium {
	if m, ok := vfs.Find(vfsOption).(Medium); ok {
		return m
	}
	return osMedium{}
}

// SyncDir makes the entries of dir durable. The driver does not: when it creates a
// write-ahead log it syncs the file a second time in place of the directory, so
// that a power cut could take the whole log with its entry.
func SyncDir(dir, vfsOption string) error {
	if err := mediumOf(vfsOption).SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// resyncWAL makes durable what an earlier process left in the write-ahead log. A process
// that is killed between the write of a commit and its sync leaves one that every reader
// sees and a power cut takes away again; what was read there, a later key or the mark of
// whoever follows the log, would then be ahead of it. The write lock keeps other
// connections from appending meanwhile.
func resyncWAL(c *sqlite3.Conn, vfsOption string) (err error) {
	path := c.Filename("main").WAL()
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	} else if err != nil {
		return err
	}
	if err := c.Exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Exec(`ROLLBACK`)) }()
	if err := mediumOf(vfsOption).Resync(path); err != nil {
		return fmt.Errorf("sync the write-ahead log: %w", err)
	}
	return nil
}

type osMedium struct{}

const resyncBytes = 1 << 20 // written at once

func (osMedium) Resync(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block := make([]byte, resyncBytes)
	for at := int64(0); ; {
		n, err := f.ReadAt(block, at)
		if _, wrong := f.WriteAt(block[:n], at); wrong != nil {
			return wrong
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return f.Sync()
		} else if err != nil {
			return err
		}
	}
}

func (osMedium) Rename(from, to string) error { return os.Rename(from, to) }
func (osMedium) Remove(path string) error     { return os.Remove(path) }
func (osMedium) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// checksums turns page checksums on where no page exists yet.
func checksums(c *sqlite3.Conn) error {
	if pages, err := text(c, `PRAGMA page_count`); err != nil || pages != "0" {
		return err
	}
	return c.EnableChecksums("main")
}
