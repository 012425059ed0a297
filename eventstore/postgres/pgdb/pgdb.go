// Package pgdb opens PostgreSQL the one way Coffre uses it: pgx under sqlx, each
// user of a database in a schema of its own, every wait bounded on both sides, what
// was acknowledged flushed. The key ring, the read models and the reactors come
// through here, as those in files come through sqlitedb.
//
// Invariant: no password, and no address that holds one, is in an error.
package pgdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// MinVersion is the oldest server taken, as server_version_num tells it: the one
// that the tests run on is 15.
const MinVersion = 140000

// Bounds of every wait. A session that hangs in a transaction is ended by the server, so
// that it delays others for no longer than that.
const (
	connectTimeout   = 5 * time.Second
	statementTimeout = 30 * time.Second
	lockTimeout      = 10 * time.Second
	idleInTx         = 10 * time.Second // idle_in_transaction_session_timeout
	idleConn         = time.Minute      // a connection nobody needs is closed
)

// Keep-alive: both sides notice within 7 s that the other is gone without a word.
const (
	keepIdle     = 3 * time.Second
	keepInterval = 2 * time.Second
	keepCount    = 2
)

const (
	driverName   = "pgx" // the name sqlx derives its bind style from
	defaultConns = 4
)

// Errors of opening.
var (
	// ErrDSN: the text is no address of a database. It is not repeated, for it may
	// hold a password.
	ErrDSN = errors.New("pgdb: not an address of the form postgres://user@host:port/database")
	// ErrName: a schema's name has other than lower-case letters, digits and _.
	ErrName = errors.New("pgdb: not a name for a schema")
	// ErrMayNotCreate: a schema is missing, and the role may not make it.
	ErrMayNotCreate = errors.New("pgdb: the role of this address may make no schemas: the database's owner has to run coffre store prepare with --role, or GRANT CREATE ON DATABASE to it")
	// ErrOldServer: the server is older than MinVersion.
	ErrOldServer = errors.New("pgdb: the server is older than PostgreSQL 14")
)

// Options of one pool of connections.
type Options struct {
	// Schema is where bare names of tables are looked for; required.
	Schema string
	// Name is shown in pg_stat_activity; default "coffre".
	Name string
	// Conns bounds the pool; 0 means 4.
	Conns int
	// ReadOnly makes every transaction refuse to write.
	ReadOnly bool
	// Lazy gives up that a commit is flushed before it is acknowledged: for what the
	// log gives back. A crash of the server may take the last commits, never a part
	// of one.
	Lazy bool
}

var schemaName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Config returns how to connect. A password that is not in the address comes from
// PGPASSWORD or PGPASSFILE, as with every client of PostgreSQL.
func Config(dsn string, o Options) (*pgx.ConnConfig, error) {
	if !schemaName.MatchString(o.Schema) {
		return nil, ErrName
	}
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return nil, ErrDSN
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, ErrDSN
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{Timeout: config.ConnectTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount,
	}}).DialContext
	config.Tracer = tracer{}
	set := config.RuntimeParams
	if set["application_name"] == "" {
		set["application_name"] = "coffre"
	}
	if o.Name != "" {
		set["application_name"] = o.Name
	}
	set["search_path"] = o.Schema
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return keepsSettings(ctx, conn, o.Schema) }
	set["timezone"] = "UTC"
	set["statement_timeout"] = millis(statementTimeout)
	set["lock_timeout"] = millis(lockTimeout)
	set["idle_in_transaction_session_timeout"] = millis(idleInTx)
	set["tcp_keepalives_idle"] = seconds(keepIdle)
	set["tcp_keepalives_interval"] = seconds(keepInterval)
	set["tcp_keepalives_count"] = strconv.Itoa(keepCount)
	set["synchronous_commit"] = "on"
	if o.Lazy {
		set["synchronous_commit"] = "off"
	}
	if o.ReadOnly {
		set["default_transaction_read_only"] = "on"
	}
	return config, nil
}

func millis(d time.Duration) string  { return strconv.FormatInt(d.Milliseconds(), 10) }
func seconds(d time.Duration) string { return strconv.FormatInt(int64(d.Seconds()), 10) }

// Open returns a pool. It connects when first used: see [Prepare].
func Open(dsn string, o Options) (*sqlx.DB, error) {
	config, err := Config(dsn, o)
	if err != nil {
		return nil, err
	}
	if o.Conns == 0 {
		o.Conns = defaultConns
	}
	db := sqlx.NewDb(stdlib.OpenDB(*config, stdlib.OptionResetSession(reuse)), driverName)
	db.SetMaxOpenConns(o.Conns)
	db.SetMaxIdleConns(o.Conns)
	db.SetConnMaxIdleTime(idleConn)
	return db, nil
}

// preparing is the advisory lock of whoever makes a schema, cluster-wide numbers of
// ours begin with "cf".
const preparing = 0x6366_0001

// Prepare checks the server and makes the schema if it is missing. Of several
// processes that start at once one makes it.
func Prepare(ctx context.Context, db *sqlx.DB, schema string) error {
	if !schemaName.MatchString(schema) {
		return ErrName
	}
	var version int
	if err := db.GetContext(ctx, &version, `SELECT current_setting('server_version_num')::int`); err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", NamePooler(err))
	}
	if version < MinVersion {
		return ErrOldServer
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("make schema %s: %w", schema, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, preparing); err != nil {
		return fmt.Errorf("make schema %s: %w", schema, err)
	}
	var there bool
	// Asked first: a role that may not make schemas can still use one that is there.
	if err := tx.GetContext(ctx, &there, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, schema); err != nil {
		return fmt.Errorf("make schema %s: %w", schema, err)
	}
	if there {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `CREATE SCHEMA `+schema); err != nil {
		if Code(err) == notAllowed {
			err = fmt.Errorf("%w: %w", ErrMayNotCreate, err)
		}
		return fmt.Errorf("make schema %s: %w", schema, err)
	}
	return tx.Commit()
}

// Doubts returns, in sentences for the operator, the settings of the server under
// which something acknowledged could still be lost.
func Doubts(ctx context.Context, db *sqlx.DB) ([]string, error) {
	var s struct {
		Fsync     string `db:"fsync"`
		Pages     string `db:"pages"`
		Standbys  string `db:"standbys"`
		Replicas  int    `db:"replicas"`
		Available bool   `db:"available"`
	}
	// Every role sees that there are replicas, if not how they are.
	err := db.GetContext(ctx, &s, `SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
		current_setting('synchronous_standby_names') AS standbys, (SELECT count(*) FROM pg_stat_replication) AS replicas,
		NOT pg_is_in_recovery() AS available`)
	if err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	var all []string
	if s.Fsync != "on" {
		all = append(all, "PostgreSQL runs with fsync=off: a power cut loses what was acknowledged, or the database")
	}
	if s.Pages != "on" {
		all = append(all, "PostgreSQL runs with full_page_writes=off: a power cut may leave half-written pages")
	}
	if s.Replicas > 0 && s.Standbys == "" {
		all = append(all, "PostgreSQL has replicas and none is synchronous: after a failover keys may be missing that the log needs (synchronous_standby_names)")
	}
	if !s.Available {
		all = append(all, "PostgreSQL is a replica here: nothing can be written")
	}
	return all, nil
}

// words of SQLite's that PostgreSQL has others for. The first that fits counts.
var words = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`(?i)\)\s*(STRICT\s*,\s*WITHOUT\s+ROWID|WITHOUT\s+ROWID\s*,\s*STRICT|STRICT|WITHOUT\s+ROWID)\b`), `)`},
	{regexp.MustCompile(`(?i)\bINTEGER\s+PRIMARY\s+KEY\b`), `bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY`},
	{regexp.MustCompile(`(?i)\bINTEGER\b`), `bigint`},
	{regexp.MustCompile(`(?i)\bBLOB\b`), `bytea`},
}

// Translate puts statements that make tables, written for SQLite, into
// PostgreSQL's words: what is kept in both has one source.
func Translate(statements string) string {
	for _, w := range words {
		statements = w.from.ReplaceAllString(statements, w.to)
	}
	return statements
}

// AddPrimaryKey makes a column the primary key of a table that an older program made
// without one: a database whose tables are all published refuses every UPDATE and DELETE
// of such a table. A table that has a primary key is left alone, without a lock. Neither
// name holds anything but letters, digits, _ and the dot behind a schema.
func AddPrimaryKey(ctx context.Context, db *sqlx.DB, table, column string) error {
	const keyed = `EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('%s') AND indisprimary)`
	var there bool
	err := db.GetContext(ctx, &there, `SELECT `+fmt.Sprintf(keyed, table))
	if err == nil && !there {
		// Of several processes that come at once, one adds it.
		_, err = db.ExecContext(ctx, fmt.Sprintf(`DO $$ BEGIN
			LOCK TABLE %[1]s IN ACCESS EXCLUSIVE MODE;
			IF NOT `+fmt.Sprintf(keyed, table)+` THEN ALTER TABLE %[1]s ADD PRIMARY KEY (%[2]s); END IF;
		END $$`, table, column))
	}
	if err != nil {
		return fmt.Errorf("add the primary key of %s: %w", table, err)
	}
	return nil
}

// broken is what a statement ends with when its connection does.
var broken = []error{
	pgconn.ErrConnClosed, driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	os.ErrDeadlineExceeded, context.DeadlineExceeded,
}

// notAllowed is the server's code for a right that a role lacks.
const notAllowed = "42501"

// NotAllowed reports whether the server refused something to the role of a connection.
func NotAllowed(err error) bool { return Code(err) == notAllowed }

// Code returns the SQLSTATE of a server's error; "" for other errors.
func Code(err error) string {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

// Full reports whether the server has no space left.
func Full(err error) bool { return Code(err) == "53100" }

// Missing reports whether a table or schema is not there (any more).
func Missing(err error) bool { c := Code(err); return c == "42P01" || c == "3F000" }

// Damaged reports whether the server found a page or an index that is not what it wrote.
func Damaged(err error) bool { c := Code(err); return c == "XX001" || c == "XX002" }

// Unsettled reports whether a commit that ended with err may have happened: the
// server did not say, or was leaving while it said so.
func Unsettled(err error) bool {
	code := Code(err)
	return code == "" || code[:2] == "08" || code[:2] == "57" || code[:2] == "58"
}

// Away reports whether err is about the server or the way to it, and not about what
// was asked: it may pass. What was asked may have been done, if it was a commit.
func Away(err error) bool {
	if err == nil {
		return false
	}
	code := Code(err)
	if code == "" {
		// A connection that broke, was refused, or took longer than its context allowed.
		// Not every net.Error: SQLite's are such, too.
		var operation *net.OpError
		var refused *pgconn.ConnectError
		return errors.As(err, &operation) || errors.As(err, &refused) || pgconn.SafeToRetry(err) ||
			slices.ContainsFunc(broken, func(known error) bool { return errors.Is(err, known) })
	}
	switch code[:2] {
	case "08", // connection
		"53", // insufficient resources
		"57", // operator intervention: shutdown, cancelled, timed out
		"58", // system error
		"40": // deadlock, serialisation
		return true
	}
	return code == "55P03" || code == "25006" || code == "25P03" // lock not available; now a replica; idle in a transaction
}
