// Package sqlitedb opens SQLite files the one way Coffre uses SQLite: write-ahead
// log, synchronous=FULL, one writer whose transactions begin IMMEDIATE, readers
// apart that cannot write. The event log, the key ring and the read models all
// come through here, so that the settings durability depends on stand in one place.
//
// Invariant: on a database opened here, unless it is Lagging or Volatile, a commit that
// returned nil has been synced to the medium, the entry of every file in its directory
// included; and so has whatever a process that was killed left there, before the next
// one's Open returns.
package sqlitedb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// MinVersion is the oldest SQLite taken. 3.51.3 ended a corruption on WAL reset,
// 3.53.4 one of rollback journals with attached databases (sqlite.org/changes.html).
const MinVersion = "3.53.4"

const (
	defaultPageSize = 16 << 10        // bytes; at 4 KiB a sealed document of 1 KiB wastes half a page
	defaultReaders  = 2               // measured: two reader connections equal eight on two cores
	defaultCache    = 16 << 20        // bytes of page cache for each connection
	defaultBusy     = 5 * time.Second // wait for another connection's lock before giving up
	dsnDriver       = "sqlite3"       // the name sqlx derives its bind style from
)

// Options tune one database. The zero value is right for a durable store.
type Options struct {
	// PageSize in bytes, a power of two from 512 to 65536; 0 means 16 KiB. It is
	// fixed when the file is created and ignored afterwards.
	PageSize int
	// Cache is the bytes of page cache for each connection; 0 means 16 MiB.
	Cache int
	// ReaderCache is the same for connections that read; 0 means as Cache says.
	ReaderCache int
	// Readers bounds the reader pool; 0 means 2.
	Readers int
	// BusyTimeout bounds the wait for a lock held by another connection; 0 means
	// five seconds.
	BusyTimeout time.Duration
	// SecureDelete overwrites deleted content with zeroes (key ring, erasure). The
	// write-ahead log still holds it until [DB.Truncate].
	SecureDelete bool
	// Checksums gives every page of a new file a checksum, verified whenever the page
	// is read from it, so that damage to an index is met as an error and not as a
	// missing row. Ignored once the file exists.
	Checksums bool
	// Verified refuses a file whose pages carry no checksums, or whose header no longer says
	// that they do, as sqlite3.CORRUPT.
	Verified bool
	// Volatile gives up durability (synchronous=OFF) while a copy is written into a file of
	// its own. A crash may leave that file corrupt: it must be thrown away.
	Volatile bool
	// Lagging syncs a commit with the next checkpoint: a power cut may take the last ones,
	// and leaves a database that is as it was before them.
	Lagging bool
	// VFS names a registered file system of the driver; "" is the operating system's.
	VFS string
}

func (o Options) withDefaults() Options {
	if o.PageSize == 0 {
		o.PageSize = defaultPageSize
	}
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.ReaderCache == 0 {
		o.ReaderCache = o.Cache
	}
	if o.Readers == 0 {
		o.Readers = defaultReaders
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = defaultBusy
	}
	return o
}

// DB is a database with its two pools. Both may be used concurrently.
type DB struct {
	// Writer has one connection, so its transactions queue; each begins IMMEDIATE and
	// so never meets SQLITE_BUSY halfway.
	Writer *sqlx.DB
	// Reader has connections that refuse to write (query_only). A read-only
	// transaction on it sees one snapshot.
	Reader *sqlx.DB
}

// Open opens or creates the database at path; its directory must exist. New files
// are readable by their owner only, and are durable when Open returns.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	o = o.withDefaults()
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := create(ctx, path, o); err != nil {
		return nil, err
	}
	writer, err := pool(path, o, Write)
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	writer.SetMaxIdleConns(1)
	writer.SetConnMaxIdleTime(0)
	if err := writer.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(path), err), writer.Close())
	}
	if err := SyncDir(filepath.Dir(path), o.VFS); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := pool(path, o, Read)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(o.Readers)
	reader.SetMaxIdleConns(o.Readers)
	return &DB{Writer: writer, Reader: reader}, nil
}

// Close closes readers, then the writer, which moves the write-ahead log into the
// database and removes it.
func (db *DB) Close() error {
	return errors.Join(db.Reader.Close(), db.Writer.Close())
}

// Truncate moves the whole write-ahead log into the database and cuts it to zero
// bytes, so that content deleted under SecureDelete is in no file any more. It
// fails while a reader still uses an older snapshot.
func (db *DB) Truncate(ctx context.Context) error {
	var busy, frames, moved int
	if err := db.Writer.QueryRowxContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved); err != nil {
		return fmt.Errorf("truncate the write-ahead log: %w", err)
	}
	if busy != 0 {
		return fmt.Errorf("truncate the write-ahead log: %w", sqlite3.BUSY)
	}
	return nil
}

// Role says what a connection may do.
type Role int

const (
	Write Role = iota
	Read
)

func pool(path string, o Options, role Role) (*sqlx.DB, error) {
	db, err := driver.Open(dsn(path, o), func(c *sqlite3.Conn) error { return tune(c, o, role) })
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	return sqlx.NewDb(db, dsnDriver), nil
}

// OpenConn opens one connection of the driver itself, tuned as the pools are, for
// callers to whom database/sql costs too much. A writer's caller calls [SyncDir]
// before it relies on anything. The connection is for one goroutine at a time.
func OpenConn(ctx context.Context, path string, o Options, role Role) (*sqlite3.Conn, error) {
	o = o.withDefaults()
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if role == Write {
		if err := create(ctx, path, o); err != nil {
			return nil, err
		}
	}
	return connect(ctx, path, o, role)
}

func connect(ctx context.Context, path string, o Options, role Role) (*sqlite3.Conn, error) {
	c, err := sqlite3.OpenContext(ctx, dsn(path, o))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	if err := tune(c, o, role); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Base(path), err), c.Close())
	}
	return c, nil
}

// maxPath bounds the whole path of a database in bytes: the driver has room for 1024 with
// what it appends.
const maxPath = 1000

// ErrPath says that the path of a database, links followed, has more than 1000 bytes.
var ErrPath = errors.New("the path of the database has more than 1000 bytes, which SQLite cannot open; use a shorter one")

// checkPath refuses a path that the driver would fail on with a panic.
func checkPath(path string) error {
	whole, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(whole)); err == nil {
		whole = filepath.Join(folder, filepath.Base(whole))
	}
	if len(whole) > maxPath {
		return fmt.Errorf("open %s: %w", filepath.Base(path), ErrPath)
	}
	return nil
}

func dsn(path string, o Options) string {
	q := url.Values{"_txlock": {"immediate"}}
	switch {
	case o.Volatile:
	case o.Lagging:
		q.Set(gatherParam, commitWritten)
	default:
		q.Set(gatherParam, commitSynced)
	}
	if o.VFS != "" {
		q.Set("vfs", o.VFS)
	} else {
		q.Set("vfs", register(filepath.Dir(path)))
		q.Set("modeof", path) // the write-ahead log is as private as the database
	}
	// Two slashes at the beginning of a path would name a host. SQLite reads a plus sign as
	// itself, also where a form would have a blank.
	escaped := (&url.URL{Path: path}).EscapedPath()
	if strings.HasPrefix(escaped, "//") {
		escaped = "//" + escaped // no host
	}
	return "file:" + escaped + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

// tune sets a fresh connection up and checks what SQLite only promises to try.
func tune(c *sqlite3.Conn, o Options, role Role) error {
	version, err := text(c, `SELECT sqlite_version()`)
	if err != nil {
		return err
	}
	if older(version, MinVersion) {
		return fmt.Errorf("SQLite %s is older than %s, which fixes corruption", version, MinVersion)
	}
	if err := c.BusyTimeout(o.BusyTimeout); err != nil {
		return err
	}
	// Else a statement with LIMIT ? is compiled anew each time the number is bound.
	if _, err := c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true); err != nil {
		return fmt.Errorf("keep compiled statements: %w", err)
	}
	// Memory mapping turns a read error into a signal that kills the process.
	cache, sorting := o.Cache, NoSpill
	if role == Read {
		cache, sorting = o.ReaderCache, Spill
	}
	pragmas := sorting + fmt.Sprintf(`PRAGMA mmap_size=0; PRAGMA trusted_schema=OFF;
		PRAGMA foreign_keys=ON; PRAGMA cache_size=-%d;`, max(cache>>10, 1))
	if role == Read {
		if err := c.Exec(pragmas + `PRAGMA query_only=ON`); err != nil || !o.Verified {
			return err
		}
		return verified(c)
	}
	// Without recursive triggers, REPLACE would delete rows behind a trigger's back.
	pragmas += fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA secure_delete=%t; PRAGMA recursive_triggers=ON;`, o.PageSize, o.SecureDelete)
	if err := c.Exec(pragmas); err != nil {
		return err
	}
	if o.Checksums {
		if err := checksums(c); err != nil {
			return err
		}
	}
	if mode, err := text(c, `PRAGMA journal_mode=WAL`); err != nil {
		return err
	} else if mode != "wal" {
		return fmt.Errorf("SQLite refuses a write-ahead log here: journal mode is %s", mode)
	}
	level, want := `FULL`, "2"
	if o.Volatile {
		level, want = `OFF`, "0"
	}
	if err := c.Exec(`PRAGMA synchronous=` + level); err != nil {
		return err
	}
	if got, err := text(c, `PRAGMA synchronous`); err != nil {
		return err
	} else if got != want {
		return fmt.Errorf("SQLite refuses synchronous=%s", level)
	}
	// The first statement that needs the schema creates the write-ahead log, whose
	// entry in the directory SyncDir then makes durable.
	if _, err = text(c, `SELECT count(*) FROM sqlite_schema`); err != nil {
		return err
	}
	if o.Verified {
		if err := verified(c); err != nil {
			return err
		}
	}
	if o.Volatile {
		return nil
	}
	return resyncWAL(c, o.VFS)
}

// verified refuses a database whose pages are read without comparing checksums.
func verified(c *sqlite3.Conn) error {
	if _, err := text(c, `SELECT count(*) FROM sqlite_schema`); err != nil { // reads the header
		return err
	}
	if on, err := text(c, `PRAGMA checksum_verification`); err != nil || on != "1" {
		return errors.Join(fmt.Errorf("pages without checksums: %w", sqlite3.CORRUPT), err)
	}
	return nil
}

// Statements that say where a connection sorts what does not fit into its cache. One that reads
// spills always: into a file beside the database that has no name and is gone with the process. One
// that writes sorts in memory, because pages as they were before a statement, which may hold what
// was erased since, would reach such a file, too; with more than 256 MiB to sort the driver panics.
// It spills while it makes indexes over rows without bound.
const (
	Spill   = `PRAGMA temp_store=FILE;`
	NoSpill = `PRAGMA temp_store=MEMORY;`
)

// text returns the first column of the statement's first row.
func text(c *sqlite3.Conn, sql string) (string, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if !s.Step() {
		return "", cmp.Or(s.Err(), fmt.Errorf("no answer to %q", sql))
	}
	return s.ColumnText(0), s.Reset()
}

// older compares dotted version numbers.
func older(version, than string) bool {
	a, b := strings.Split(version, "."), strings.Split(than, ".")
	for i := range min(len(a), len(b)) {
		x, _ := strconv.Atoi(a[i])
		y, _ := strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return len(a) < len(b)
}
