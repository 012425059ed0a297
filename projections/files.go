package projections

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore/sqlite/sqlitedb"
)

// A read model lives in a file of its own, NAME.vVERSION.gGENERATION.db. A rebuild
// writes the next generation under the suffix .building, syncs it and renames it:
// the rename is the switch, and the highest generation is the one in force. Files
// of a build that was interrupted, of lower generations and of other versions are
// dropped. docs/decisions/0003-read-models.md says why.
const (
	liveSuffix     = ".db"
	buildingSuffix = ".building"
)

// Bytes of page cache for each connection: little for the live files, since
// several are open; more where random index entries are written in bulk.
const (
	liveCache  = 8 << 20
	buildCache = 32 << 20
)

// files are the generations of a projection in its directory.
type files struct {
	dir  string
	name string
	vers int
}

// file is the medium of one generation.
type file struct {
	db      *sqlitedb.DB
	path    string
	pragmas string       // of the connection that writes
	direct  chan *direct // the connections of View.Each that are free
}

var filePattern = regexp.MustCompile(`^([a-z]+)\.v([0-9]+)\.g([0-9]{6,})(\.db|\.building)((?:\.new)?(?:-wal|-shm|-journal)?)$`)

// generations returns the numbers of the complete generations of this version,
// highest first, and the highest number any file of the projection bears.
func (f files) generations() (complete []int64, highest int64, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("read models: %w", err)
	}
	for _, e := range entries {
		m := filePattern.FindStringSubmatch(e.Name())
		if m == nil || m[1] != f.name {
			continue
		}
		generation, _ := strconv.ParseInt(m[3], 10, 64)
		highest = max(highest, generation)
		if m[2] == strconv.Itoa(f.vers) && m[4] == liveSuffix && m[5] == "" {
			complete = append(complete, generation)
		}
	}
	// ReadDir sorts by name; six digits keep that the numbers' order for a while only.
	for i := range complete {
		for j := i; j > 0 && complete[j] > complete[j-1]; j-- {
			complete[j], complete[j-1] = complete[j-1], complete[j]
		}
	}
	return complete, highest, nil
}

func (f files) path(generation int64, suffix string) string {
	return filepath.Join(f.dir, fmt.Sprintf("%s.v%d.g%06d%s", f.name, f.vers, generation, suffix))
}

// drop removes the projection's files that a complete generation replaces. At the
// start of a process it also removes what an interrupted build left, which nobody
// writes to then.
func (f files) drop(_ context.Context, kept *database, starting bool) error {
	keep := kept.generation
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	var all error
	for _, e := range entries {
		m := filePattern.FindStringSubmatch(e.Name())
		if m == nil || m[1] != f.name {
			continue
		}
		if generation, _ := strconv.ParseInt(m[3], 10, 64); generation == keep || generation > keep && !(starting && m[4] == buildingSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			all = errors.Join(all, fmt.Errorf("drop read model: %w", err))
		}
	}
	return errors.Join(all, sqlitedb.SyncDir(f.dir, ""))
}

// openLatest opens the highest complete generation that is sound; nil when there is none.
func (f files) openLatest(ctx context.Context) (*database, error) {
	complete, _, err := f.generations()
	if err != nil {
		return nil, err
	}
	for _, generation := range complete {
		d, err := f.openLive(ctx, generation)
		if err == nil {
			return d, nil
		}
		// A read model is made from the log alone, so a damaged one is simply left
		// behind; trouble with the medium is not damage.
		if ctx.Err() != nil || transient(err) {
			return nil, err
		}
	}
	return nil, nil
}

// openLive opens a complete generation. Losing its last commits in a power cut
// costs a little catching up and never consistency, so it syncs at checkpoints only.
func (f files) openLive(ctx context.Context, generation int64) (*database, error) {
	path := f.path(generation, liveSuffix)
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{SecureDelete: true, Cache: liveCache})
	if err != nil {
		return nil, err
	}
	// The only writer waits for nobody but, in clean, for readers: not for long.
	m := &file{db: db, path: path, pragmas: `PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=50`, direct: make(chan *direct, directReaders)}
	for range directReaders {
		m.direct <- &direct{}
	}
	d := &database{medium: m, reader: db.Reader, generation: generation, statements: map[string]*sqlx.Stmt{}}
	if err := d.pin(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	var gotName string
	var gotVersion int
	err = d.tx.conn.QueryRowxContext(ctx, `SELECT name, version FROM checkpoint`).Scan(&gotName, &gotVersion)
	if err == nil && (gotName != f.name || gotVersion != f.vers) {
		err = errors.New("read model: the file holds another one")
	}
	if err == nil {
		d.at, err = readCheckpoint(ctx, d.tx.conn)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	// What was erased before a crash may still stand in the write-ahead log.
	d.unscrubbed = true
	return d, d.scrub(ctx)
}

// create begins a new generation. It is not durable until finish: a crash leaves a
// file that is thrown away.
func (f files) create(ctx context.Context, schema Schema) (*database, error) {
	_, highest, err := f.generations()
	if err != nil {
		return nil, err
	}
	// One connection, no reader, nothing to survive a crash: without a write-ahead log
	// each page is written once.
	m := &file{path: f.path(highest+1, buildingSuffix), pragmas: `PRAGMA journal_mode=MEMORY; PRAGMA locking_mode=EXCLUSIVE`}
	if m.db, err = sqlitedb.Open(ctx, m.path, sqlitedb.Options{SecureDelete: true, Volatile: true, Cache: buildCache}); err != nil {
		return nil, errors.Join(err, m.remove(ctx))
	}
	d := &database{medium: m, generation: highest + 1, building: true}
	err = d.pin(ctx)
	if err == nil {
		_, err = d.tx.conn.ExecContext(ctx, checkpointTable+dialect(schema.Tables))
	}
	if err == nil {
		_, err = d.tx.conn.ExecContext(ctx, `INSERT INTO checkpoint VALUES (?, ?, 0, 0, 0, 0)`, f.name, f.vers)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create read model: %w", err), d.discard(ctx))
	}
	return d, nil
}

// dialect puts a schema into SQLite's words: only INTEGER makes a key the row's own
// number there, where BIGINT would cost an index.
func dialect(schema string) string {
	return strings.ReplaceAll(schema, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY")
}

// finish makes a built generation whole, durable and the one in force, and opens
// it as such.
func (f files) finish(ctx context.Context, d *database, schema Schema) (*database, error) {
	for _, step := range []string{schema.Indexes, `BEGIN IMMEDIATE;` + schema.Settle + `COMMIT`} {
		if _, err := d.tx.conn.ExecContext(ctx, step); err != nil {
			return nil, errors.Join(fmt.Errorf("finish read model: %w", err), d.discard(ctx))
		}
	}
	if err := d.close(); err != nil {
		return nil, errors.Join(err, d.remove(ctx))
	}
	built, final := f.path(d.generation, buildingSuffix), f.path(d.generation, liveSuffix)
	if err := syncFile(built); err != nil {
		return nil, errors.Join(err, d.remove(ctx))
	}
	if err := os.Rename(built, final); err != nil {
		return nil, errors.Join(fmt.Errorf("switch read model: %w", err), d.remove(ctx))
	}
	if err := sqlitedb.SyncDir(f.dir, ""); err != nil {
		return nil, err
	}
	return f.openLive(ctx, d.generation)
}

func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync read model: %w", err)
	}
	return errors.Join(file.Sync(), file.Close())
}

func (m *file) writer(ctx context.Context) (*sqlx.Conn, error) {
	conn, err := m.db.Writer.Connx(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, m.pragmas); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// clean empties the write-ahead log.
func (m *file) clean(ctx context.Context, conn *sqlx.Conn) (bool, error) {
	var busy, frames, moved int
	err := conn.QueryRowxContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved)
	if errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.LOCKED) {
		return false, nil
	}
	return busy == 0, err
}

func (m *file) each(ctx context.Context, query string, args []any, row func(Row) error) error {
	select {
	case c := <-m.direct:
		defer func() { m.direct <- c }()
		return c.each(ctx, m.path, query, args, row)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *file) close() error {
	var all error
	for range len(m.direct) { // all are free: no reader is left
		all = errors.Join(all, (<-m.direct).close())
	}
	return errors.Join(all, m.db.Close())
}

// remove deletes the closed file.
func (m *file) remove(context.Context) error {
	var all error
	for _, beside := range []string{"", ".new"} { // where sqlitedb begins a file
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(m.path + beside + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				all = errors.Join(all, fmt.Errorf("drop read model: %w", err))
			}
		}
	}
	return all
}
