package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
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

// database is one generation of one read model: its file, the connection that
// writes it, and what its readers share.
type database struct {
	db       *sqlitedb.DB
	path     string
	building bool
	tx       *Tx // over the pinned writing connection
	at       Checkpoint

	users sync.WaitGroup // readers between acquire and Close
	mu    sync.RWMutex
	// statements are prepared on the reader pool, by text.
	statements map[string]*sqlx.Stmt
	direct     chan *direct // the connections of View.Each that are free
	unscrubbed bool         // deleted bytes are still in the write-ahead log
	scrubAgain time.Time
}

const checkpointTable = `CREATE TABLE checkpoint (
	name TEXT NOT NULL, version BIGINT NOT NULL, fence BIGINT NOT NULL,
	commit_position BIGINT NOT NULL, prepare_position BIGINT NOT NULL, next_leaf BIGINT NOT NULL);`

// files finds the generations of a projection in its directory.
type files struct {
	dir  string
	name string
	vers int
}

var filePattern = regexp.MustCompile(`^([a-z]+)\.v([0-9]+)\.g([0-9]{6,})(\.db|\.building)((?:\.new)?(?:-wal|-shm|-journal)?)$`)

// generations returns the numbers of the complete generations of this version,
// highest first, and the highest number any file of the projection bears.
func (f files) generations() (complete []int, highest int, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("read models: %w", err)
	}
	for _, e := range entries {
		m := filePattern.FindStringSubmatch(e.Name())
		if m == nil || m[1] != f.name {
			continue
		}
		generation, _ := strconv.Atoi(m[3])
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

func (f files) path(generation int, suffix string) string {
	return filepath.Join(f.dir, fmt.Sprintf("%s.v%d.g%06d%s", f.name, f.vers, generation, suffix))
}

// drop removes the projection's files that a complete generation replaces. At the
// start of a process it also removes what an interrupted build left, which nobody
// writes to then.
func (f files) drop(kept string, starting bool) error {
	m := filePattern.FindStringSubmatch(filepath.Base(kept))
	if m == nil {
		return fmt.Errorf("read models: %s is none", filepath.Base(kept))
	}
	keep, _ := strconv.Atoi(m[3])
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
		if generation, _ := strconv.Atoi(m[3]); generation == keep || generation > keep && !(starting && m[4] == buildingSuffix) {
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
		d, err := openLive(ctx, f.path(generation, liveSuffix), f.name, f.vers)
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
func openLive(ctx context.Context, path, name string, version int) (*database, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{SecureDelete: true, Cache: liveCache})
	if err != nil {
		return nil, err
	}
	d := &database{db: db, path: path, statements: map[string]*sqlx.Stmt{}, direct: make(chan *direct, directReaders)}
	for range directReaders {
		d.direct <- &direct{}
	}
	// The only writer waits for nobody but, in scrub, for readers: not for long.
	if err := d.pin(ctx, `PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=50`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	var gotName string
	var gotVersion int
	err = d.tx.conn.QueryRowxContext(ctx, `SELECT name, version FROM checkpoint`).Scan(&gotName, &gotVersion)
	if err == nil && (gotName != name || gotVersion != version) {
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
	d := &database{path: f.path(highest+1, buildingSuffix), building: true}
	d.db, err = sqlitedb.Open(ctx, d.path, sqlitedb.Options{SecureDelete: true, Volatile: true, Cache: buildCache})
	if err != nil {
		return nil, errors.Join(err, d.remove())
	}
	// One connection, no reader, nothing to survive a crash: without a write-ahead log
	// each page is written once.
	err = d.pin(ctx, `PRAGMA journal_mode=MEMORY; PRAGMA locking_mode=EXCLUSIVE`)
	if err == nil {
		_, err = d.tx.conn.ExecContext(ctx, checkpointTable+dialect(schema.Tables))
	}
	if err == nil {
		_, err = d.tx.conn.ExecContext(ctx, `INSERT INTO checkpoint VALUES (?, ?, 0, 0, 0, 0)`, f.name, f.vers)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create read model: %w", err), d.discard())
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
			return nil, errors.Join(fmt.Errorf("finish read model: %w", err), d.discard())
		}
	}
	if err := d.close(); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	if err := syncFile(d.path); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	final := strings.TrimSuffix(d.path, buildingSuffix) + liveSuffix
	if err := os.Rename(d.path, final); err != nil {
		return nil, errors.Join(fmt.Errorf("switch read model: %w", err), d.remove())
	}
	if err := sqlitedb.SyncDir(f.dir, ""); err != nil {
		return nil, err
	}
	return openLive(ctx, final, f.name, f.vers)
}

func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync read model: %w", err)
	}
	return errors.Join(file.Sync(), file.Close())
}

// pin takes the writing connection for good and sets it up.
func (d *database) pin(ctx context.Context, pragmas string) error {
	conn, err := d.db.Writer.Connx(ctx)
	if err != nil {
		return fmt.Errorf("open read model: %w", err)
	}
	if _, err := conn.ExecContext(ctx, pragmas); err != nil {
		return errors.Join(fmt.Errorf("open read model: %w", err), conn.Close())
	}
	d.tx = &Tx{conn: conn, prepared: map[string]*sqlx.Stmt{}, building: d.building}
	return nil
}

// commit moves the checkpoint and runs apply, in one transaction; on any error
// neither happens. The swap compares the whole checkpoint, so that of two runners
// one gets ErrOvertaken; and the token, so that it is the newer one that stays. It
// comes first: a loser must not take what the winner wrote for a poisonous event.
func (d *database) commit(ctx context.Context, token int64, to Checkpoint, apply func(*Tx) error) (err error) {
	// A transaction that ended by itself with ctx would leave the statements after it
	// to commit one by one.
	tx, err := d.tx.conn.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			d.tx.scrub = false
			if ctx.Err() != nil {
				err = ctx.Err() // the driver tells it in words of its own
			}
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	n, err := d.tx.Exec(ctx, `UPDATE checkpoint SET fence = ?, commit_position = ?, prepare_position = ?, next_leaf = ?
		WHERE fence <= ? AND commit_position = ? AND prepare_position = ? AND next_leaf = ?`,
		token, int64(to.Position.Commit), int64(to.Position.Prepare), to.Next,
		token, int64(d.at.Position.Commit), int64(d.at.Position.Prepare), d.at.Next)
	if err != nil {
		return err
	}
	if n != 1 {
		return ErrOvertaken
	}
	if err := apply(d.tx); err != nil {
		return err
	}
	done = true
	if err := tx.Commit(); err != nil {
		return err
	}
	d.at = to
	d.unscrubbed = d.unscrubbed || d.tx.scrub
	d.tx.scrub = false
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// scrub empties the write-ahead log when an erasure asked for it. While a reader
// still looks at an older state it is put off to the next call.
func (d *database) scrub(ctx context.Context) error {
	if !d.unscrubbed || d.building || time.Now().Before(d.scrubAgain) {
		return nil
	}
	var busy, frames, moved int
	err := d.tx.conn.QueryRowxContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved)
	if err != nil && !errors.Is(err, sqlite3.BUSY) && !errors.Is(err, sqlite3.LOCKED) {
		return fmt.Errorf("scrub read model: %w", err)
	}
	if d.unscrubbed = err != nil || busy != 0; d.unscrubbed {
		d.scrubAgain = time.Now().Add(time.Second)
	}
	return nil
}

func readCheckpoint(ctx context.Context, q sqlx.QueryerContext) (Checkpoint, error) {
	var commit, prepare, next int64
	err := q.QueryRowxContext(ctx, `SELECT commit_position, prepare_position, next_leaf FROM checkpoint`).Scan(&commit, &prepare, &next)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read model: checkpoint: %w", err)
	}
	return Checkpoint{eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}, next}, nil
}

// close waits for readers and closes the file.
func (d *database) close() error {
	d.users.Wait()
	var all error
	for _, s := range d.statements {
		all = errors.Join(all, s.Close())
	}
	if d.tx != nil {
		for _, s := range d.tx.prepared {
			all = errors.Join(all, s.Close())
		}
		all = errors.Join(all, d.tx.conn.Close())
	}
	for range len(d.direct) { // all are free: no reader is left
		all = errors.Join(all, (<-d.direct).close())
	}
	return errors.Join(all, d.db.Close())
}

// remove deletes the closed file.
func (d *database) remove() error {
	var all error
	for _, beside := range []string{"", ".new"} { // where sqlitedb begins a file
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(d.path + beside + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				all = errors.Join(all, fmt.Errorf("drop read model: %w", err))
			}
		}
	}
	return all
}

func (d *database) discard() error { return errors.Join(d.close(), d.remove()) }

// transient reports whether an error is about the medium or the moment, not about
// what was written: it may pass, and says nothing against the event.
func transient(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	for _, code := range []sqlite3.ErrorCode{
		sqlite3.BUSY, sqlite3.LOCKED, sqlite3.NOMEM, sqlite3.INTERRUPT, sqlite3.IOERR,
		sqlite3.FULL, sqlite3.CANTOPEN, sqlite3.PROTOCOL, sqlite3.READONLY, sqlite3.PERM,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
