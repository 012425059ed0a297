package sqlitedb

import (
	"errors"

	"github.com/ncruces/go-sqlite3/vfs"
)

// SQLite writes each page of a commit to the write-ahead log by two calls, one for the
// header of its frame. A gatherer makes one of all of them.

const (
	frameHeader = 24        // bytes before each page in a write-ahead log
	maxGathered = 512 << 10 // bytes that wait for a commit; more are written before it
)

// gatherParam is the parameter of a file's name that says what the end of a commit means for
// the medium; without it SQLite ends none with a sync, and nothing is gathered.
const (
	gatherParam   = "commit"
	commitSynced  = "synced"  // it is on the medium
	commitWritten = "written" // it is in the file, and on the medium with the next checkpoint
)

// Gather returns f, an open file of the driver under that name, as SQLite is to use it: the
// frames of a write-ahead log reach f together. A file system that stands between the
// driver and another one passes what it opens through here, as that of this package does.
func Gather(f vfs.File, name *vfs.Filename, flags vfs.OpenFlag) vfs.File {
	end := name.URIParameter(gatherParam)
	if flags&vfs.OPEN_WAL == 0 || end == "" {
		return f
	}
	return &gatherer{File: f, lagging: end == commitWritten, read: -1}
}

// gatherer is one connection's write-ahead log. It keeps what is appended until SQLite syncs
// the log. SQLite publishes a commit in the index of the log after that only, so nobody else
// looks for a frame that is not in the file, and a crash before it loses what nobody was
// told. In a lagging log such a sync is a write: only what has to be on the medium before
// pages leave the log, or before it begins anew, is synced.
//
// What could not be written is of a transaction that is undone, or goes on without its last
// statement: it stays until the next write tells which, and what that one replaces is
// dropped.
type gatherer struct {
	vfs.File
	lagging bool
	kept    []byte // from at
	at      int64
	failed  bool  // kept could not be written, and nothing came after it
	read    int64 // where the call before this one read; -1 when it was another one
}

func (g *gatherer) WriteAt(p []byte, off int64) (int, error) {
	if off != g.at+int64(len(g.kept)) || g.failed {
		if err := g.makeWay(p, off); err != nil {
			return 0, err
		}
	}
	g.read = -1
	if len(g.kept) == 0 {
		g.at = off
	}
	g.kept = append(g.kept, p...) // p is the driver's after the call
	if len(g.kept) < maxGathered {
		return len(p), nil
	}
	if err := g.flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// makeWay writes what is kept before p is written elsewhere. Where that fails, it drops what
// p comes in the place of.
func (g *gatherer) makeWay(p []byte, off int64) error {
	if !g.failed {
		if err := g.flush(); err == nil {
			return nil
		}
	}
	header := len(p) == frameHeader
	switch within := off - g.at; {
	case header && within > 0 && within <= int64(len(g.kept)):
		g.kept, g.failed = g.kept[:within], false // the transaction goes on from an earlier frame
		return nil
	case off == 0, header && within <= 0 && g.read != off: // whoever changes a frame that is there reads it first
		g.kept, g.failed = g.kept[:0], false // the transaction was undone
		return nil
	}
	return g.flush()
}

// flush writes what is kept.
func (g *gatherer) flush() error {
	if len(g.kept) == 0 {
		return nil
	}
	if _, err := g.File.WriteAt(g.kept, g.at); err != nil {
		g.failed = true
		return err
	}
	g.kept, g.failed = g.kept[:0], false
	return nil
}

// settle writes what is kept, unless that failed: then nothing came after it, so nobody
// relies on it yet.
func (g *gatherer) settle() error {
	g.read = -1
	if g.failed {
		return nil
	}
	return g.flush()
}

func (g *gatherer) ReadAt(p []byte, off int64) (int, error) {
	if off < g.at+int64(len(g.kept)) && g.at < off+int64(len(p)) {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	g.read = off
	return g.File.ReadAt(p, off)
}

func (g *gatherer) Truncate(size int64) error {
	if err := g.settle(); err != nil {
		return err
	}
	return g.File.Truncate(size)
}

func (g *gatherer) Sync(flags vfs.SyncFlag) error {
	commit := len(g.kept) > 0 && !g.failed && g.at > 0 // at 0 it tells the frames of a log that begins anew from older ones
	if err := g.settle(); err != nil || commit && g.lagging {
		return err
	}
	return g.File.Sync(flags)
}

func (g *gatherer) Size() (int64, error) {
	if err := g.settle(); err != nil {
		return 0, err
	}
	return g.File.Size()
}

func (g *gatherer) Close() error { return errors.Join(g.settle(), g.File.Close()) }
