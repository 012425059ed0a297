// Package sqlitemodels keeps read models in SQLite files of one directory, which one
// process at a time owns.
//
// Each generation is a file of its own, NAME.vVERSION.gGENERATION.db. A rebuild writes
// the next generation under the suffix .building, syncs it and renames it. After a
// restart the highest sound generation is in force; without one, a build that was
// interrupted goes on after its last commit. Other files of interrupted builds, of lower
// generations and of other versions are dropped.
// docs/decisions/0003-read-models.md says why.
//
// Invariant: a file with the suffix .db was complete and durable when it got its name.
package sqlitemodels

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
)

const (
	liveSuffix     = ".db"
	buildingSuffix = ".building"
)

// pageSize is the bytes of a page of new files. A wallet's rows lie apart, each on a page of
// its own that is read and verified whole; and a transaction of a few events changes some
// bytes of many pages. A page has three rows with a sealed document of 1 KiB.
const pageSize = 4 << 10

// Bytes of page cache for each connection: little for the live files, since several are
// open, and least for the pooled readers, which most queries do not use; more where random
// index entries are written in bulk.
const (
	liveCache   = 8 << 20
	pooledCache = 1 << 20
	buildCache  = 32 << 20
)

// Pragmas of the connection that writes. A live file's only writer waits for nobody but, in
// Clean, for readers: not for long. A file being built has one connection and no reader: with
// a rollback journal a page that is new is written once, and what was committed outlives a
// crash. Its indexes may need more room to be sorted than memory has.
const (
	livePragmas  = `PRAGMA busy_timeout=50`
	buildPragmas = sqlitedb.Spill + `PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=TRUNCATE`
)

// Medium is a directory of read models.
type Medium struct{ dir string }

var _ projections.Medium = Medium{}

// Open returns the medium in a directory, which it makes when it is missing.
func Open(dir string) (Medium, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Medium{}, fmt.Errorf("read models: %w", err)
	}
	return Medium{dir}, nil
}

// Model implements projections.Medium.
func (m Medium) Model(name string, version int) projections.Model {
	return &model{dir: m.dir, name: name, version: version, opened: map[int64][]*file{}}
}

// Furthest implements projections.Medium.
func (m Medium) Furthest(ctx context.Context) (name string, at eventstore.Position, err error) {
	err = m.eachLive(ctx, func(one, _ string, shown eventstore.Position) error {
		if shown.Compare(at) > 0 {
			name, at = one, shown
		}
		return nil
	})
	return name, at, err
}

// Discard implements projections.Medium.
func (m Medium) Discard(ctx context.Context, end eventstore.Position) (names []string, err error) {
	err = m.eachLive(ctx, func(name, path string, shown eventstore.Position) error {
		if shown.Compare(end) <= 0 {
			return nil
		}
		names = append(names, name)
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("discard read model: %w", err)
			}
		}
		return nil
	})
	return names, errors.Join(err, m.discardBuilds(), sqlitedb.SyncDir(m.dir, ""))
}

// Complete reports whether a projection has complete tables of a version in a directory, which need
// not be there. It changes nothing.
func Complete(dir, name string, version int) (bool, error) {
	there, err := (Medium{dir}).Complete(name, version)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return there, err
}

// Complete reports whether a projection has complete tables of a version, in force or not.
func (m Medium) Complete(name string, version int) (bool, error) {
	complete, _, err := (&model{dir: m.dir, name: name, version: version}).generations()
	return len(complete) > 0, err
}

// Adopt moves the newest complete tables of a projection here, whole or not at all, from a
// medium on the same file system where nobody has them open. They are the newest here then:
// the next Start of that version puts them in force. Who has other versions in force here may
// go on, and removes what it finds of the projection only when it replaces its own.
func (m Medium) Adopt(from Medium, name string, version int) error {
	theirs := &model{dir: from.dir, name: name, version: version}
	complete, _, err := theirs.generations()
	if err == nil && len(complete) == 0 {
		err = fmt.Errorf("read model %s: it is not built", name)
	}
	if err != nil {
		return err
	}
	_, highest, err := (&model{dir: m.dir, name: name}).generations()
	if err != nil {
		return err
	}
	path := theirs.path(complete[0], liveSuffix)
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("read model %s: it is still open", name))
	}
	if err := syncFile(path); err != nil {
		return err
	}
	if err := os.Rename(path, (&model{dir: m.dir, name: name, version: version}).path(highest+1, liveSuffix)); err != nil {
		return fmt.Errorf("switch read model: %w", err)
	}
	return sqlitedb.SyncDir(m.dir, "")
}

// discardBuilds removes what interrupted builds left.
func (m Medium) discardBuilds() error {
	var all error
	err := eachFile(m.dir, func(name string, part []string, _ int64) error {
		if part[4] != buildingSuffix {
			return nil
		}
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			all = errors.Join(all, fmt.Errorf("discard read model: %w", err))
		}
		return nil
	})
	return errors.Join(all, err)
}

// eachLive calls each with the complete generations that can be read and nobody has open.
func (m Medium) eachLive(ctx context.Context, each func(name, path string, shown eventstore.Position) error) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	for _, e := range entries {
		part := filePattern.FindStringSubmatch(e.Name())
		if part == nil || part[4] != liveSuffix || part[5] != "" {
			continue
		}
		path := filepath.Join(m.dir, e.Name())
		shown, err := positionIn(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue // it is built anew
		}
		if err := each(part[1], path, shown); err != nil {
			return err
		}
	}
	return nil
}

// positionIn reads how far a file has come that nobody has open.
func positionIn(ctx context.Context, path string) (at eventstore.Position, err error) {
	conn, err := sqlitedb.OpenConn(ctx, path, sqlitedb.Options{}, sqlitedb.Read)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s, _, err := conn.Prepare(`SELECT commit_position, prepare_position FROM checkpoint`)
	if err != nil {
		return at, err
	}
	if s.Step() {
		at = eventstore.Position{Commit: uint64(s.ColumnInt64(0)), Prepare: uint64(s.ColumnInt64(1))}
	}
	return at, errors.Join(s.Err(), s.Close())
}

// model is one projection's files of one version.
type model struct {
	dir     string
	name    string
	version int

	mu      sync.Mutex
	opened  map[int64][]*file // the complete generations that are open
	inForce int64
	highest int64 // the highest number that this process has met, also of files that are gone
	// overtaken: another runner wrote to the generation in force, though this process
	// owns the directory. This one writes there no more.
	overtaken bool
}

var filePattern = regexp.MustCompile(`^([a-z]+)\.v([0-9]+)\.g([0-9]{6,})(\.db|\.building)((?:\.new)?(?:-wal|-shm|-journal)?)$`)

// generations returns the numbers of the complete generations of this version,
// highest first, and the highest number any file of the projection bears.
func (m *model) generations() (complete []int64, highest int64, err error) {
	err = m.eachFile(func(_ string, part []string, generation int64) error {
		highest = max(highest, generation)
		if part[2] == strconv.Itoa(m.version) && part[4] == liveSuffix && part[5] == "" {
			complete = append(complete, generation)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(complete)
	slices.Reverse(complete)
	return complete, highest, nil
}

func (m *model) path(generation int64, suffix string) string {
	return filepath.Join(m.dir, fmt.Sprintf("%s.v%d.g%06d%s", m.name, m.version, generation, suffix))
}

// Start implements projections.Generations: it puts the highest sound generation in
// force.
func (m *model) Start(ctx context.Context) (projections.Tables, error) {
	complete, _, err := m.generations()
	if err != nil {
		return nil, err
	}
	for _, generation := range complete {
		f, err := m.openLive(ctx, generation)
		if err == nil {
			m.putInForce(generation)
			if err := m.drop(generation, true); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		}
		// A read model is made from the log alone, so a damaged one is simply left
		// behind; trouble with the medium is not damage.
		if f := fault(err); ctx.Err() != nil || f != projections.NoFault && f != projections.Damaged {
			return nil, err
		}
	}
	return nil, nil
}

// Open implements projections.Generations.
func (m *model) Open(ctx context.Context) (projections.Tables, error) {
	m.mu.Lock()
	generation := m.inForce
	m.mu.Unlock()
	if generation == 0 {
		return nil, nil
	}
	f, err := m.openLive(ctx, generation)
	if err != nil {
		return nil, err // never a *file that is nil within an interface
	}
	return f, nil
}

func (m *model) putInForce(generation int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inForce, m.overtaken = generation, false
	m.highest = max(m.highest, generation)
}

// openLive opens a complete generation.
func (m *model) openLive(ctx context.Context, generation int64) (*file, error) {
	path := m.path(generation, liveSuffix)
	// Lagging: losing its last commits in a power cut costs a little catching up and never
	// consistency.
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{PageSize: pageSize, SecureDelete: true, Lagging: true, Cache: liveCache, ReaderCache: pooledCache, Checksums: true, Verified: true})
	if err != nil {
		return nil, err
	}
	f := newFile(db, path, generation, livePragmas)
	m.mu.Lock()
	m.opened[generation] = append(m.opened[generation], f)
	m.mu.Unlock()
	f.closed = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.opened[generation] = slices.DeleteFunc(m.opened[generation], func(o *file) bool { return o == f })
	}
	if err := m.check(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (m *model) isOpen(generation int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.opened[generation]) > 0
}

// check refuses a file that holds another read model, and empties the write-ahead
// log, where what was erased before a crash may still stand.
func (m *model) check(ctx context.Context, f *file) error {
	conn, err := f.writer(ctx)
	if err != nil {
		return fmt.Errorf("open read model: %w", err)
	}
	var name string
	var version int
	if err := conn.QueryRowxContext(ctx, `SELECT name, version FROM checkpoint`).Scan(&name, &version); err != nil {
		return fmt.Errorf("read model: checkpoint: %w", err)
	}
	if name != m.name || version != m.version {
		return errors.New("read model: the file holds another one")
	}
	if _, err := projections.ReadCheckpoint(ctx, conn); err != nil {
		return err
	}
	_, err = f.Clean(ctx)
	return err
}

// Create implements projections.Generations.
func (m *model) Create(ctx context.Context, statements string) (projections.Tables, error) {
	_, highest, err := m.generations()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.highest = max(m.highest, highest) + 1
	generation := m.highest
	m.mu.Unlock()
	f, err := m.openBuilding(ctx, generation)
	if err != nil {
		return nil, errors.Join(err, f.Remove(ctx))
	}
	conn, err := f.writer(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, `BEGIN IMMEDIATE;`+dialect(statements)+`COMMIT`)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create read model: %w", err), f.Close(), f.Remove(ctx))
	}
	return f, nil
}

// openBuilding opens or creates the file of a build. The file is returned, closed, with an
// error.
func (m *model) openBuilding(ctx context.Context, generation int64) (f *file, err error) {
	f = newFile(nil, m.path(generation, buildingSuffix), generation, buildPragmas)
	f.db, err = sqlitedb.Open(ctx, f.path, sqlitedb.Options{PageSize: pageSize, SecureDelete: true, Cache: buildCache, Checksums: true, Verified: true})
	return f, err
}

// Resume implements projections.Generations.
func (m *model) Resume(ctx context.Context) (projections.Tables, bool, error) {
	left, err := m.unfinished()
	if err != nil {
		return nil, false, err
	}
	for _, generation := range left {
		f, settled, err := m.reopen(ctx, generation)
		if f := fault(err); err != nil && (ctx.Err() != nil || f == projections.Passing || f == projections.Away) {
			return nil, false, err
		}
		if err != nil {
			continue // it is of no use, and removed with the others
		}
		m.mu.Lock()
		m.highest = max(m.highest, generation)
		m.mu.Unlock()
		if err := m.removeBuilds(generation); err != nil {
			return nil, false, errors.Join(err, f.Close())
		}
		return f, settled, nil
	}
	return nil, false, m.removeBuilds(0)
}

// unfinished returns the numbers of this version's builds that were not finished, highest
// first.
func (m *model) unfinished() (all []int64, err error) {
	err = m.eachFile(func(name string, part []string, generation int64) error {
		if part[2] == strconv.Itoa(m.version) && part[4] == buildingSuffix && part[5] == "" {
			all = append(all, generation)
		}
		return nil
	})
	slices.Sort(all)
	slices.Reverse(all)
	return all, err
}

// reopen opens a build that was interrupted, and tells whether it was settled.
func (m *model) reopen(ctx context.Context, generation int64) (f *file, settled bool, err error) {
	if f, err = m.openBuilding(ctx, generation); err != nil {
		return nil, false, err
	}
	conn, err := f.writer(ctx)
	if err == nil {
		err = conn.QueryRowxContext(ctx, `PRAGMA user_version`).Scan(&settled)
	}
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("open read model: %w", err), f.Close())
	}
	return f, settled, nil
}

// removeBuilds removes what builds of the projection left, of whatever version, but for one.
func (m *model) removeBuilds(kept int64) error {
	return m.eachFile(func(name string, part []string, generation int64) error {
		if part[4] != buildingSuffix || generation == kept && part[2] == strconv.Itoa(m.version) {
			return nil
		}
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("drop read model: %w", err)
		}
		return nil
	})
}

// eachFile calls each with the files of read models in a directory, and the parts of their names.
func eachFile(dir string, each func(name string, part []string, generation int64) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	for _, e := range entries {
		part := filePattern.FindStringSubmatch(e.Name())
		if part == nil {
			continue
		}
		generation, err := strconv.ParseInt(part[3], 10, 64)
		if err != nil {
			continue // no file of ours
		}
		if err := each(e.Name(), part, generation); err != nil {
			return err
		}
	}
	return nil
}

// eachFile is [eachFile] of this projection.
func (m *model) eachFile(each func(name string, part []string, generation int64) error) error {
	return eachFile(m.dir, func(name string, part []string, generation int64) error {
		if part[1] != m.name {
			return nil
		}
		return each(name, part, generation)
	})
}

// dialect puts a schema into SQLite's words: only INTEGER makes a key the row's own
// number there, where BIGINT would cost an index.
func dialect(schema string) string {
	return strings.ReplaceAll(schema, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY")
}

// Finish implements projections.Generations: a restart finds the generation in force
// from here on.
func (m *model) Finish(ctx context.Context, built projections.Tables, schema projections.Schema) (projections.Tables, error) {
	f := built.(*file)
	conn, err := f.writer(ctx)
	for _, step := range []string{schema.IndexesLeft(), `BEGIN IMMEDIATE;` + schema.Settle + `PRAGMA user_version=1; COMMIT`} {
		if err == nil {
			err = execute(ctx, conn, step)
		}
	}
	if err != nil {
		err = fmt.Errorf("finish read model: %w", err)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = errors.Join(syncFile(f.path), f.removeJournal())
	}
	final := m.path(f.generation, liveSuffix)
	if err == nil {
		if err = os.Rename(f.path, final); err != nil {
			err = fmt.Errorf("switch read model: %w", err)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, f.Remove(ctx))
		}
		return nil, err
	}
	if err := sqlitedb.SyncDir(m.dir, ""); err != nil {
		return nil, err
	}
	live, err := m.openLive(ctx, f.generation)
	if err != nil {
		return nil, err
	}
	return live, nil
}

// errMemory: SQLite needs more memory for a statement than a connection may have.
var errMemory = errors.New("a statement needs more memory than a connection has")

// execute runs statements of any size: where memory does not suffice for them the driver panics,
// and what is wrong with a read model must not take the writing side down with it.
func execute(ctx context.Context, conn *sqlx.Conn, statements string) (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = panicked(said)
		}
	}()
	_, err = conn.ExecContext(ctx, statements)
	return err
}

// panicked returns the error for what the driver panicked with, of whose text nothing is known
// but that it says when memory did not suffice.
func panicked(said any) error {
	if err, ok := said.(error); ok && strings.HasSuffix(err.Error(), "out of memory") {
		return errMemory
	}
	return fmt.Errorf("SQLite's driver panicked (%T)", said)
}

func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync read model: %w", err)
	}
	return errors.Join(file.Sync(), file.Close())
}

// Promote implements projections.Generations. The runner that calls it, which alone
// writes here, does not move the former generation meanwhile.
func (m *model) Promote(ctx context.Context, next projections.Tables, at projections.Checkpoint) error {
	var former *file
	m.mu.Lock()
	if open := m.opened[m.inForce]; len(open) > 0 {
		former = open[0]
	}
	m.mu.Unlock()
	if former != nil {
		shown, err := projections.ReadCheckpoint(ctx, former.db.Reader)
		if err != nil {
			return fmt.Errorf("switch read model: %w", err)
		}
		if at.Position.Compare(shown.Position) < 0 {
			return projections.ErrBehind
		}
	}
	m.putInForce(next.Generation())
	return nil
}

// Withdraw implements projections.Generations.
func (m *model) Withdraw(_ context.Context, generation int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inForce == generation {
		m.inForce = 0
	}
	return nil
}

// Drop implements projections.Generations.
func (m *model) Drop(_ context.Context, kept int64) error { return m.drop(kept, false) }

// drop removes the projection's files that a complete generation replaces. At the
// start of a process it also removes what an interrupted build left, which nobody
// writes to then.
func (m *model) drop(kept int64, starting bool) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	var all error
	removed := false
	for _, e := range entries {
		part := filePattern.FindStringSubmatch(e.Name())
		if part == nil || part[1] != m.name {
			continue
		}
		generation, _ := strconv.ParseInt(part[3], 10, 64)
		if generation == kept || m.isOpen(generation) || generation > kept && !(starting && part[4] == buildingSuffix) {
			continue
		}
		removed = true
		if err := os.Remove(filepath.Join(m.dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			all = errors.Join(all, fmt.Errorf("drop read model: %w", err))
		}
	}
	if removed {
		all = errors.Join(all, sqlitedb.SyncDir(m.dir, ""))
	}
	return all
}

// TryAcquire implements projections.Turns: the process that owns the directory has
// every lease there, until it is found not to be alone.
func (m *model) TryAcquire(ctx context.Context) (*projections.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.overtaken {
		return nil, nil
	}
	return &projections.Lease{Held: ctx, Release: func() {}}, ctx.Err()
}

// InForce implements projections.Turns.
func (m *model) InForce(context.Context) (generation int64, stopped error, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.overtaken {
		stopped = projections.ErrOvertaken
	}
	return m.inForce, stopped, nil
}

// Report implements projections.Turns. No other process follows; but a runner that was
// overtaken here gets no second turn before a rebuild.
func (m *model) Report(_ context.Context, _ int64, stopped error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overtaken = m.overtaken || errors.Is(stopped, projections.ErrOvertaken)
	return nil
}
