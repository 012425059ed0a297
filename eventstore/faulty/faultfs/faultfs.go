// Package faultfs is a file system for SQLite that breaks on command and forgets, at
// a crash, what was never synced. It stands between the driver and the real file
// system, so that what is tested is the code that ships.
//
// Invariant: a crash image holds every byte that a sync acknowledged and no file
// whose directory was not synced after it was made; of everything else it holds
// what the test chooses.
package faultfs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"coffre/eventstore/sqlite/sqlitedb"
)

// Change is what a call does to the medium.
type Change int

const (
	Write Change = iota
	Sync
	Truncate
	Create
	Delete
	SyncDir
	Rename
	changes
)

func (c Change) String() string {
	return [...]string{"write", "sync", "truncate", "create", "delete", "sync of directory", "rename"}[c]
}

// Op is one call that changes the medium or its promises.
type Op struct {
	Change Change
	N      int    // 1 for the first of its sort
	File   string // base name
	Grows  bool   // a write beyond the end of the file
	Size   int    // bytes of a write
}

// Fault is what happens to a call.
type Fault int

const (
	Pass       Fault = iota
	Fail             // nothing is done, an error is returned; what a failed sync covered is never synced any more
	Short            // of a write half is done, then as Fail
	Full             // as Short, with the error of a full disk
	Crash            // nothing is done, and nothing ever after
	CrashAfter       // it is done, and nothing ever after
)

// FullAfter is Full for a write of which n bytes are done, 65,535 at most.
func FullAfter(n int) Fault { return fullAfter | Fault(n) }

const fullAfter Fault = 1 << 16

// Rule decides about each call. It may block; it is called by several goroutines.
type Rule func(Op) Fault

// At is a rule for one call: the n-th of its sort.
func At(change Change, n int, fault Fault) Rule {
	return func(op Op) Fault {
		if op.Change == change && op.N == n {
			return fault
		}
		return Pass
	}
}

// FS is a file system. Make one for each time a database is opened.
type FS struct {
	// Name is what the driver knows it by.
	Name string

	inner vfs.VFSFilename
	rule  atomic.Pointer[Rule]

	mu      sync.Mutex
	dead    bool
	counts  [changes]int
	entries map[string]*entry // by path
}

// entry is a name in a directory: what it stands for now, and what it would stand
// for after a crash.
type entry struct{ now, durable *inode }

// inode is a file's content as far as it is safe, and what was done to it since.
type inode struct {
	safe    []byte
	pending []change // in order; a sync makes those safe that were not lost
}

type change struct {
	at   int64
	data []byte
	cut  bool // a truncation to at
	lost bool // covered by a failed sync
}

var created atomic.Int64

// New returns a file system registered with the driver until the test ends; what is
// open on it then must be closed before, by a later Cleanup or a defer.
func New(t testing.TB) *FS {
	t.Helper()
	inner, ok := vfs.Find("os").(vfs.VFSFilename)
	if !ok {
		t.Fatal("faultfs: the driver's file system takes no file names any more")
	}
	fsys := &FS{Name: fmt.Sprintf("faultfs%d", created.Add(1)), inner: inner, entries: map[string]*entry{}}
	fsys.SetRule(func(Op) Fault { return Pass })
	vfs.Register(fsys.Name, fsys)
	t.Cleanup(func() { vfs.Unregister(fsys.Name) })
	return fsys
}

// SetRule replaces the rule, which at first lets everything pass.
func (fsys *FS) SetRule(r Rule) { fsys.rule.Store(&r) }

// Counts returns how many calls of each kind there were.
func (fsys *FS) Counts() map[Change]int {
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	counts := map[Change]int{}
	for change, n := range fsys.counts {
		counts[Change(change)] = n
	}
	return counts
}

// Dead tells whether the machine has crashed.
func (fsys *FS) Dead() bool {
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	return fsys.dead
}

// PowerOff crashes the machine if it has not crashed yet, and writes to dir what is
// on its medium afterwards. What was not synced is lost when random is nil;
// otherwise any part of it survives, in any combination, writes torn at sectors of
// 512 bytes.
func (fsys *FS) PowerOff(t testing.TB, dir string, random *rand.Rand) {
	t.Helper()
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	fsys.dead = true
	maybe := func() bool { return random != nil && random.IntN(2) == 0 }
	for path, e := range fsys.entries {
		survivor := e.durable
		if e.now != e.durable && maybe() {
			survivor = e.now
		}
		if survivor == nil {
			continue
		}
		content := slices.Clone(survivor.safe)
		for _, c := range survivor.pending {
			if maybe() {
				content = c.apply(content, random)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Kill ends the process that uses the file system, and not the machine: dir gets every
// file as all processes saw it, and the file system returned knows what of them is not on
// the medium yet. Nothing reaches the old one any more.
func (fsys *FS) Kill(t testing.TB, dir string) *FS {
	t.Helper()
	next := New(t)
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	fsys.dead = true
	copies := map[*inode]*inode{nil: nil}
	copied := func(n *inode) *inode {
		if _, ok := copies[n]; !ok {
			copies[n] = &inode{safe: slices.Clone(n.safe), pending: slices.Clone(n.pending)}
		}
		return copies[n]
	}
	for path, e := range fsys.entries {
		there := filepath.Join(dir, filepath.Base(path))
		next.entries[there] = &entry{now: copied(e.now), durable: copied(e.durable)}
		if e.now == nil {
			continue
		}
		content, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(there, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return next
}

const sector = 512

// apply returns content with the change made; torn, if random is given.
func (c change) apply(content []byte, random *rand.Rand) []byte {
	if c.cut {
		return resize(content, c.at)
	}
	data := c.data
	if random != nil && len(data) > sector && random.IntN(2) == 0 {
		data = data[:sector*(1+random.IntN(len(data)/sector))]
	}
	if end := c.at + int64(len(data)); end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[c.at:], data)
	return content
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// errDead is what a crashed machine answers, were anyone there to hear it.
var errDead = errors.New("faultfs: the machine is off")

// decide asks the rule about a call. It returns the fault, or errDead.
func (fsys *FS) decide(change Change, path string) (Fault, error) {
	return fsys.decideOp(Op{Change: change}, path)
}

func (fsys *FS) decideOp(op Op, path string) (Fault, error) {
	fsys.mu.Lock()
	if fsys.dead {
		fsys.mu.Unlock()
		return Fail, errDead
	}
	fsys.counts[op.Change]++
	op.N, op.File = fsys.counts[op.Change], filepath.Base(path)
	fsys.mu.Unlock()

	fault := (*fsys.rule.Load())(op)

	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	if fsys.dead || fault == Crash {
		fsys.dead = true
		return Fail, errDead
	}
	return fault, nil
}

// after ends a call that was done.
func (fsys *FS) after(fault Fault) {
	if fault == CrashAfter {
		fsys.dead = true
	}
}

// Open implements vfs.VFS; the driver calls OpenFilename.
func (fsys *FS) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN
}

// OpenFilename implements vfs.VFSFilename.
func (fsys *FS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if name.String() == "" {
		return fsys.inner.OpenFilename(name, flags) // temporary: nothing of it need survive
	}
	path := name.String()
	_, err := os.Stat(path)
	isNew := errors.Is(err, os.ErrNotExist)
	fault := Pass
	if isNew {
		if fault, err = fsys.decide(Create, path); err != nil || fault == Fail {
			return nil, 0, sqlite3.CANTOPEN
		}
	} else if fsys.Dead() {
		return nil, 0, sqlite3.CANTOPEN
	}
	inner, flags, err := fsys.inner.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	e := fsys.entries[path]
	if e == nil {
		e = &entry{}
		fsys.entries[path] = e
	}
	if isNew {
		e.now = &inode{}
	} else if e.now == nil {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, flags, errors.Join(err, inner.Close())
		}
		e.now = &inode{safe: content}
		e.durable = e.now
	}
	fsys.after(fault)
	return sqlitedb.Gather(&file{File: inner, fsys: fsys, path: path, inode: e.now}, name, flags), flags, nil
}

// Delete implements vfs.VFS.
func (fsys *FS) Delete(path string, syncDir bool) error {
	fault, err := fsys.decide(Delete, path)
	if err != nil || fault == Fail {
		return errors.Join(err, sqlite3.IOERR_DELETE)
	}
	if err := fsys.inner.Delete(path, false); err != nil {
		return err
	}
	fsys.mu.Lock()
	if e := fsys.entries[path]; e != nil {
		e.now = nil
	}
	fsys.after(fault)
	fsys.mu.Unlock()
	if syncDir {
		return fsys.SyncDir(filepath.Dir(path))
	}
	return nil
}

// SyncDir makes the entries of dir durable.
func (fsys *FS) SyncDir(dir string) error {
	fault, err := fsys.decide(SyncDir, dir)
	if err != nil || fault == Fail {
		return errors.Join(err, sqlite3.IOERR_DIR_FSYNC)
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	for path, e := range fsys.entries {
		if filepath.Dir(path) == filepath.Clean(dir) {
			e.durable = e.now
		}
	}
	fsys.after(fault)
	return nil
}

// Remove implements sqlitedb.Medium.
func (fsys *FS) Remove(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return fsys.Delete(path, false)
}

// Rename implements sqlitedb.Medium. At a crash that no sync of the directory
// preceded, each of the two names stands for what it did before, or what it does
// now.
func (fsys *FS) Rename(from, to string) error {
	fault, err := fsys.decide(Rename, from)
	if err != nil || fault == Fail {
		return errors.Join(err, sqlite3.IOERR)
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	if err := os.Rename(from, to); err != nil {
		return err
	}
	source, target := fsys.entries[from], fsys.entries[to]
	if target == nil {
		target = &entry{}
		fsys.entries[to] = target
	}
	target.now, source.now = source.now, nil
	fsys.after(fault)
	return nil
}

// Resync implements sqlitedb.Medium: one write of the whole file over itself, and a sync.
func (fsys *FS) Resync(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fsys.mu.Lock()
	n := fsys.entries[path].now
	fsys.mu.Unlock()
	asIs := func(p []byte, _ int64) (int, error) { return len(p), nil } // it is there
	if _, err := fsys.write(path, n, content, 0, false, asIs); err != nil {
		return err
	}
	return fsys.sync(path, n)
}

// Access implements vfs.VFS.
func (fsys *FS) Access(path string, flags vfs.AccessFlag) (bool, error) {
	return fsys.inner.Access(path, flags)
}

// FullPathname implements vfs.VFS.
func (fsys *FS) FullPathname(path string) (string, error) { return fsys.inner.FullPathname(path) }

// file is an open file. What is written goes to the real file as well, so that
// everybody reads it; only a crash tells the difference.
type file struct {
	vfs.File
	fsys  *FS
	path  string
	inode *inode
}

var (
	_ vfs.FileSharedMemory = (*file)(nil)
	_ vfs.FileLockState    = (*file)(nil)
	_ vfs.FilePersistWAL   = (*file)(nil)
	_ vfs.FileHasMoved     = (*file)(nil)
)

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	return f.fsys.write(f.path, f.inode, p, off, off+int64(len(p)) > size, f.File.WriteAt)
}

// write lets do write p at off, or as much of it as the rule has it.
func (fsys *FS) write(path string, n *inode, p []byte, off int64, grows bool, do func([]byte, int64) (int, error)) (int, error) {
	fault, err := fsys.decideOp(Op{Change: Write, Grows: grows, Size: len(p)}, path)
	if err != nil {
		return 0, errors.Join(err, sqlite3.IOERR_WRITE)
	}
	switch {
	case fault == Fail:
		return 0, sqlite3.IOERR_WRITE
	case fault == Short, fault == Full:
		p = p[:len(p)/2]
	case fault >= fullAfter:
		p, fault = p[:min(len(p), int(fault&^fullAfter))], Full
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	written, err := do(p, off)
	if err != nil {
		return written, err
	}
	n.pending = append(n.pending, change{at: off, data: slices.Clone(p)})
	fsys.after(fault)
	switch fault {
	case Short:
		return written, io.ErrShortWrite
	case Full:
		return written, sqlite3.FULL
	}
	return written, nil
}

func (f *file) Truncate(size int64) error {
	fault, err := f.fsys.decide(Truncate, f.path)
	if err != nil || fault == Fail {
		return errors.Join(err, sqlite3.IOERR_TRUNCATE)
	}
	f.fsys.mu.Lock()
	defer f.fsys.mu.Unlock()
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.inode.pending = append(f.inode.pending, change{at: size, cut: true})
	f.fsys.after(fault)
	return nil
}

func (f *file) Sync(vfs.SyncFlag) error { return f.fsys.sync(f.path, f.inode) }

// sync makes what was written to a file safe.
func (fsys *FS) sync(path string, n *inode) error {
	fault, err := fsys.decide(Sync, path)
	if err != nil {
		return errors.Join(err, sqlite3.IOERR_FSYNC)
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	if fault == Fail {
		for i := range n.pending {
			n.pending[i].lost = true
		}
		return sqlite3.IOERR_FSYNC
	}
	n.settle()
	fsys.after(fault)
	return nil
}

// settle makes what was not lost safe. A lost change that was written over since is
// gone for good.
func (n *inode) settle() {
	var lost []change
	for _, c := range n.pending {
		if c.lost {
			lost = append(lost, c)
			continue
		}
		n.safe = c.apply(n.safe, nil)
		lost = slices.DeleteFunc(lost, func(l change) bool {
			return c.cut || l.at < c.at+int64(len(c.data)) && c.at < l.at+int64(len(l.data))
		})
	}
	n.pending = lost
}

func (f *file) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}

func (f *file) LockState() vfs.LockLevel { return f.File.(vfs.FileLockState).LockState() }
func (f *file) PersistWAL() bool         { return f.File.(vfs.FilePersistWAL).PersistWAL() }
func (f *file) SetPersistWAL(keep bool)  { f.File.(vfs.FilePersistWAL).SetPersistWAL(keep) }
func (f *file) HasMoved() (bool, error)  { return f.File.(vfs.FileHasMoved).HasMoved() }
