package reactors

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

const (
	schemaVersion = 1
	// keepHandled bounds the time in which a repetition of an event is recognised.
	// Positions only move forward, so repetitions come within seconds; the rest is for
	// operators who set a position back.
	keepHandled = 90 * 24 * time.Hour
)

const schema = `
CREATE TABLE IF NOT EXISTS reactor_positions (
	reactor  TEXT    NOT NULL,
	topic    TEXT    NOT NULL,
	log_commit  INTEGER NOT NULL, -- of the last event passed; 0 and 0 lie before the first
	log_prepare INTEGER NOT NULL,
	moved_at INTEGER NOT NULL, -- microseconds since 1970
	PRIMARY KEY (reactor, topic)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS reactor_done (
	reactor TEXT    NOT NULL,
	event   BLOB    NOT NULL,
	done_at INTEGER NOT NULL,
	PRIMARY KEY (reactor, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reactor_done_at ON reactor_done (done_at);

CREATE TABLE IF NOT EXISTS reactor_poison (
	reactor  TEXT    NOT NULL,
	leaf     INTEGER NOT NULL,
	event    BLOB    NOT NULL, -- sixteen zeroes when the record itself is damaged
	type     TEXT    NOT NULL,
	reason   TEXT    NOT NULL, -- a class, never an error's text
	attempts INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	PRIMARY KEY (reactor, leaf)
) STRICT, WITHOUT ROWID;
`

// DB is the reactors' database: positions, events handled, events set aside, and tables of
// the reactors themselves. Its methods may be called concurrently.
type DB struct {
	sql       pools
	translate func(statements string) string // SQLite's dialect into the database's
	close     func() error

	mu     sync.Mutex
	claims map[string]chan struct{} // by reactor and topic; each holds one token while nobody consumes

	signals map[string]chan struct{} // by name; each holds one token while its receiver has not looked
}

// Signal returns the channel of that name on which parts of this process that share the database
// have each other look into it. It holds one token at most.
func (db *DB) Signal(name string) chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.signals == nil {
		db.signals = make(map[string]chan struct{})
	}
	if db.signals[name] == nil {
		db.signals[name] = make(chan struct{}, 1)
	}
	return db.signals[name]
}

// pools of connections. Statements go through Rebind: they are the same in a file
// and on PostgreSQL.
type pools struct{ Writer, Reader *sqlx.DB }

// cache is the bytes of page cache for each connection: what reactors still have to do is
// little, and what they did is seldom looked at.
const cache = 2 << 20

// Open opens or creates the database in the SQLite file at path. o tunes the file, as for
// every SQLite database of the program, but that a Cache of 0 means 2 MiB.
func Open(ctx context.Context, path string, o sqlitedb.Options) (*DB, error) {
	if o.Cache == 0 {
		o.Cache = cache
	}
	db, err := sqlitedb.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	as := func(statements string) string { return statements }
	d := &DB{sql: pools{db.Writer, db.Reader}, translate: as, close: db.Close, claims: map[string]chan struct{}{}}
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

func (db *DB) migrate(ctx context.Context) error {
	var version int
	if err := db.sql.Writer.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return fmt.Errorf("read the version of the reactors' database: %w", err)
	}
	if version > schemaVersion {
		return newerVersionError(version)
	}
	return db.Ensure(ctx, schema+control+fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion))
}

// Form returns the version of the reactors' tables in the file at path, 0 where there are none, and
// that of this program. It changes nothing.
func Form(ctx context.Context, path string) (form, program int64, err error) {
	form, err = sqlitedb.Version(ctx, path)
	return form, schemaVersion, err
}

// FormOnPostgres is [Form] of the tables in a PostgreSQL.
func FormOnPostgres(ctx context.Context, dsn string) (form, program int64, err error) {
	db, err := pgdb.Open(dsn, pgdb.Options{Schema: pgSchema, Name: "coffre reactors", Conns: pgReaders, ReadOnly: true})
	if err != nil {
		return 0, schemaVersion, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err = db.GetContext(ctx, &form, `SELECT version FROM reactor_version`); pgdb.Missing(err) {
		err = nil
	}
	return form, schemaVersion, err
}

func newerVersionError(version int) error {
	return fmt.Errorf("the reactors' database has version %d, this program knows %d", version, schemaVersion)
}

const (
	pgSchema  = "coffre_reactors"
	pgReaders = 1
	pgWriters = 4
)

// OpenPostgres opens the reactors' tables in the PostgreSQL database of dsn, in the schema
// coffre_reactors, and creates missing ones. Several processes may have them open; of
// each part of the citizens one works at a time, see [RouterOptions].
func OpenPostgres(ctx context.Context, dsn string) (*DB, error) {
	writer, err := pgdb.Open(dsn, pgdb.Options{Schema: pgSchema, Name: "coffre reactors", Conns: pgWriters})
	if err != nil {
		return nil, err
	}
	reader, err := pgdb.Open(dsn, pgdb.Options{Schema: pgSchema, Name: "coffre reactors", Conns: pgReaders, ReadOnly: true})
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	d := &DB{sql: pools{writer, reader}, claims: map[string]chan struct{}{}}
	d.close = func() error { return errors.Join(reader.Close(), writer.Close()) }
	d.translate = func(statements string) string {
		// Of several processes that start at once one makes the tables.
		return `SELECT pg_advisory_xact_lock(hashtextextended('coffre reactors', 0));` + pgdb.Translate(statements)
	}
	if err = pgdb.Prepare(ctx, writer, pgSchema); err == nil {
		err = d.migratePostgres(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the reactors' database: %w", err), d.close())
	}
	return d, nil
}

func (db *DB) migratePostgres(ctx context.Context) error {
	if err := db.Ensure(ctx, schema+control+fmt.Sprintf(`
		CREATE TABLE IF NOT EXISTS reactor_version (version INTEGER NOT NULL PRIMARY KEY);
		INSERT INTO reactor_version (version) SELECT %d WHERE NOT EXISTS (SELECT 1 FROM reactor_version);`, schemaVersion)); err != nil {
		return err
	}
	if err := pgdb.AddPrimaryKey(ctx, db.sql.Writer, pgSchema+".reactor_version", "version"); err != nil {
		return err
	}
	var version int
	if err := db.sql.Writer.GetContext(ctx, &version, `SELECT version FROM reactor_version`); err != nil {
		return fmt.Errorf("read the version of the reactors' database: %w", err)
	}
	if version > schemaVersion {
		return newerVersionError(version)
	}
	return nil
}

// Ensure runs a reactor's statements that create tables of its own, written in SQLite's
// dialect. They must say IF NOT EXISTS.
func (db *DB) Ensure(ctx context.Context, statements string) error {
	return db.Write(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, db.translate(statements)); err != nil {
			return fmt.Errorf("prepare tables: %w", err)
		}
		return nil
	})
}

// Close closes the database. Routers and subscribers over it are closed first.
func (db *DB) Close() error { return db.close() }

// Reader returns connections that cannot write. Statements go through its Rebind.
func (db *DB) Reader() *sqlx.DB { return db.sql.Reader }

// Write runs do in one transaction, which is durable when Write returns nil and left no
// trace otherwise. Statements of do go through tx.Rebind. The error of a transaction that
// could not begin or commit wraps ErrLater.
func (db *DB) Write(ctx context.Context, do func(tx *sqlx.Tx) error) error {
	tx, err := db.sql.Writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: begin: %w", ErrLater, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: commit: %w", ErrLater, err)
	}
	return nil
}

// prune forgets which events were handled before the time given.
func (db *DB) prune(ctx context.Context, before time.Time) error {
	if _, err := db.sql.Writer.ExecContext(ctx, db.sql.Writer.Rebind(`DELETE FROM reactor_done WHERE done_at < ?`), before.UnixMicro()); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	return nil
}

// errMoved reports that another process moved the position, so that the event being
// delivered here is not the next one any more.
var errMoved = errors.New("reactors: the position was moved by somebody else")

// position returns the reactor's place in the log. One that never ran is put where
// first says.
func (db *DB) position(ctx context.Context, reactor, topic string, first func() (eventstore.Position, error)) (eventstore.Position, error) {
	p, err := db.storedPosition(ctx, reactor, topic)
	if !errors.Is(err, sql.ErrNoRows) {
		return p, err
	}
	if p, err = first(); err != nil {
		return p, err
	}
	_, err = db.sql.Writer.ExecContext(ctx, db.sql.Writer.Rebind(`
		INSERT INTO reactor_positions (reactor, topic, log_commit, log_prepare, moved_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`),
		reactor, topic, int64(p.Commit), int64(p.Prepare), time.Now().UnixMicro())
	if err != nil {
		return p, fmt.Errorf("keep the first position: %w", err)
	}
	return db.storedPosition(ctx, reactor, topic)
}

// partPosition returns the reactor's place in the log for a part of the citizens. Where the
// reactor's work was divided otherwise before, or followed its topics apart, each part begins
// where everything had been passed: what was handled since is recognised. One that never ran
// is put where first says.
func (db *DB) partPosition(ctx context.Context, reactor string, part Part, first func() (eventstore.Position, error)) (eventstore.Position, error) {
	p, err := db.storedPosition(ctx, reactor, part.String())
	if !errors.Is(err, sql.ErrNoRows) {
		return p, err
	}
	if p, err = first(); err != nil {
		return p, err
	}
	if err := db.divide(ctx, reactor, part.Of, p); err != nil {
		return p, err
	}
	return db.storedPosition(ctx, reactor, part.String())
}

// divide gives every part of a reactor a position, and removes those of another division.
func (db *DB) divide(ctx context.Context, reactor string, parts int, first eventstore.Position) error {
	return db.Write(ctx, func(tx *sqlx.Tx) error {
		var rows []struct {
			Topic   string
			Commit  int64 `db:"log_commit"`
			Prepare int64 `db:"log_prepare"`
		}
		if err := tx.SelectContext(ctx, &rows, tx.Rebind(`SELECT topic, log_commit, log_prepare FROM reactor_positions WHERE reactor = ? ORDER BY topic`), reactor); err != nil {
			return fmt.Errorf("read positions: %w", err)
		}
		names := make([]string, parts)
		for i := range names {
			names[i] = Part{i, parts}.String()
		}
		from := first
		for i, r := range rows {
			at := eventstore.Position{Commit: uint64(r.Commit), Prepare: uint64(r.Prepare)}
			if i == 0 {
				from = at
			}
			from = lowest(from, at)
		}
		// In one order: processes that divide at once wait for each other, and never in a circle.
		for _, name := range names {
			if _, err := tx.ExecContext(ctx, tx.Rebind(`
				INSERT INTO reactor_positions (reactor, topic, log_commit, log_prepare, moved_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT DO NOTHING`),
				reactor, name, int64(from.Commit), int64(from.Prepare), time.Now().UnixMicro()); err != nil {
				return fmt.Errorf("keep the first positions: %w", err)
			}
		}
		for _, r := range rows {
			if slices.Contains(names, r.Topic) {
				continue
			}
			if _, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM reactor_positions WHERE reactor = ? AND topic = ?`), reactor, r.Topic); err != nil {
				return fmt.Errorf("forget former positions: %w", err)
			}
		}
		return nil
	})
}

// Furthest returns the position that the furthest reactor has come to, and that reactor's
// name; zero when none has passed an event.
func (db *DB) Furthest(ctx context.Context) (reactor string, at eventstore.Position, err error) {
	var commit, prepare int64
	err = db.sql.Reader.QueryRowxContext(ctx, `SELECT reactor, log_commit, log_prepare FROM reactor_positions
		ORDER BY log_commit DESC, log_prepare DESC LIMIT 1`).Scan(&reactor, &commit, &prepare)
	if errors.Is(err, sql.ErrNoRows) {
		return "", at, nil
	}
	if err != nil {
		return "", at, fmt.Errorf("read the furthest position: %w", err)
	}
	return reactor, eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}, nil
}

// Rewind puts every reactor that is beyond a position back to it, because the log ends
// there. What a reactor did about the events in between stays done.
func (db *DB) Rewind(ctx context.Context, end eventstore.Position) error {
	_, err := db.sql.Writer.ExecContext(ctx, db.sql.Writer.Rebind(`UPDATE reactor_positions SET log_commit = ?, log_prepare = ?, moved_at = ?
		WHERE log_commit > ? OR log_commit = ? AND log_prepare > ?`),
		int64(end.Commit), int64(end.Prepare), time.Now().UnixMicro(), int64(end.Commit), int64(end.Commit), int64(end.Prepare))
	if err != nil {
		return fmt.Errorf("put positions back: %w", err)
	}
	return nil
}

func (db *DB) storedPosition(ctx context.Context, reactor, topic string) (eventstore.Position, error) {
	var at struct {
		Commit  int64 `db:"log_commit"`
		Prepare int64 `db:"log_prepare"`
	}
	err := db.sql.Writer.GetContext(ctx, &at, db.sql.Writer.Rebind(`
		SELECT log_commit, log_prepare FROM reactor_positions WHERE reactor = ? AND topic = ?`), reactor, topic)
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("read position: %w", err)
	}
	return eventstore.Position{Commit: uint64(at.Commit), Prepare: uint64(at.Prepare)}, nil
}

// swapPosition moves the position from one place to another, or returns errMoved when it is
// elsewhere.
func (db *DB) swapPosition(ctx context.Context, reactor, topic string, from, to eventstore.Position) error {
	done, err := db.sql.Writer.ExecContext(ctx, db.sql.Writer.Rebind(`
		UPDATE reactor_positions SET log_commit = ?, log_prepare = ?, moved_at = ?
		WHERE reactor = ? AND topic = ? AND log_commit = ? AND log_prepare = ?`),
		int64(to.Commit), int64(to.Prepare), time.Now().UnixMicro(),
		reactor, topic, int64(from.Commit), int64(from.Prepare))
	if err != nil {
		return fmt.Errorf("move position: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errMoved, err)
	}
	return nil
}

// claimTopic waits until nobody in this process consumes the topic for the reactor, and
// returns the function that ends the claim. Between processes swapPosition decides.
func (db *DB) claimTopic(ctx context.Context, reactor, topic string) (leave func(), err error) {
	key := reactor + "\x00" + topic
	db.mu.Lock()
	token := db.claims[key]
	if token == nil {
		token = make(chan struct{}, 1)
		token <- struct{}{}
		db.claims[key] = token
	}
	db.mu.Unlock()
	select {
	case <-token:
		return func() { token <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// handled reports whether the reactor's effect of that event is stored.
func (db *DB) handled(ctx context.Context, reactor string, event uuid.UUID) (bool, error) {
	var n int
	err := db.sql.Reader.GetContext(ctx, &n, db.sql.Reader.Rebind(`SELECT count(*) FROM reactor_done WHERE reactor = ? AND event = ?`), reactor, event[:])
	if err != nil {
		return false, fmt.Errorf("%w: look for a repetition: %w", ErrLater, err)
	}
	return n > 0, nil
}

// handleOnce handles an event unless it was handled before. The mark and the effect are one
// transaction: a crash leaves both or neither.
func (db *DB) handleOnce(ctx context.Context, r Reactor, n Notice) error {
	if done, err := db.handled(ctx, r.Name, n.ID); err != nil || done {
		return err
	}
	effect, err := r.Handle(ctx, n)
	if err != nil {
		return err
	}
	repeated := false
	err = db.Write(ctx, func(tx *sqlx.Tx) error {
		mark, err := tx.ExecContext(ctx, tx.Rebind(`
			INSERT INTO reactor_done (reactor, event, done_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`),
			r.Name, n.ID[:], time.Now().UnixMicro())
		if err != nil {
			return fmt.Errorf("%w: mark as handled: %w", ErrLater, err)
		}
		if marked, err := mark.RowsAffected(); err != nil || marked == 0 {
			repeated = true // an operator's replay was faster
			return err
		}
		if effect.Store == nil {
			return nil
		}
		return effect.Store(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("store the effect: %w", err)
	}
	if effect.OnStored != nil && !repeated {
		effect.OnStored()
	}
	return nil
}
