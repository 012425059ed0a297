package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
)

// IdleInTransaction is how long a session of the database may hold a transaction
// open without a word, whoever it is, unless it says otherwise itself. Prepare sets it.
const IdleInTransaction = 10 * time.Second

// PrepareOptions say what [Prepare] does beside the tables.
type PrepareOptions struct {
	// Role is the application's: it may read and append, and nothing else. It is made
	// when there is none, with the right to log in and without a password. "" leaves
	// everybody's rights as they are.
	Role string
	// LockTimeout bounds the wait for sessions that use the tables; 0 means 5 s.
	LockTimeout time.Duration
}

// Prepared is the report of what [Prepare] found and did.
type Prepared struct {
	Server   string // its version
	Database string
	Before   int // form of the tables that was found; 0: none
	After    int
	Role     string // whose rights were set; ""
	RoleMade bool   // it was not there
	// Doubts are sentences for the operator: settings of the server under which
	// something acknowledged may be lost, or one session may hold up others.
	Doubts []string
}

// ErrNotOwner: the role of an address may not prepare the log.
var ErrNotOwner = errors.New("this role may not prepare the event log: only its owner may, or, before there is one, who may create schemas")

// Prepare makes the tables of the log, or brings those of an older program to this
// one's form, and sets the rights of the application's role. dsn is the owner's. It
// may be repeated, and run by several at once. A program that is one release older
// goes on working meanwhile and afterwards.
func Prepare(ctx context.Context, dsn string, o PrepareOptions) (Prepared, error) {
	p, err := prepare(ctx, dsn, o)
	if err != nil {
		return Prepared{}, fmt.Errorf("prepare the event log: %w", err)
	}
	return p, nil
}

func prepare(ctx context.Context, dsn string, o PrepareOptions) (p Prepared, err error) {
	if o.Role != "" && !pgdb.RoleName(o.Role) {
		return p, pgdb.ErrRoleName
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLock
	}
	c, err := config(dsn, "coffre events preparing", o.LockTimeout)
	if err != nil {
		return p, err
	}
	db := sqlx.NewDb(stdlib.OpenDB(*c), "pgx")
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := db.QueryRowContext(ctx, `SELECT current_setting('server_version'), current_database()`).Scan(&p.Server, &p.Database); err != nil {
		return p, pgdb.NamePooler(err)
	}
	found, err := inspect(ctx, db)
	switch {
	case err != nil:
		return p, err
	case !found.MayPrepare:
		return p, ErrNotOwner
	case !found.behind():
		if err := found.usable(); err != nil {
			return p, err
		}
	}
	if err := migrate(ctx, dsn, o.LockTimeout); err != nil {
		return p, err
	}
	after, err := inspect(ctx, db)
	if err != nil {
		return p, err
	}
	p.Before, p.After = found.Form, after.Form
	if p.Role = o.Role; p.Role != "" {
		if p.RoleMade, err = admit(ctx, db, p.Role); err != nil {
			return p, err
		}
	}
	may, err := bound(ctx, db)
	if err != nil {
		return p, err
	}
	if p.Doubts, err = doubts(ctx, db); err == nil && !may {
		p.Doubts = append(p.Doubts, fmt.Sprintf("a session that sits on a transaction is not ended: the database's owner may set idle_in_transaction_session_timeout to %d s",
			int(IdleInTransaction.Seconds())))
	}
	return p, err
}

// admit gives the application's role what it needs and takes everything else away.
func admit(ctx context.Context, db *sqlx.DB, role string) (made bool, err error) {
	if made, err = pgdb.MakeRole(ctx, db, Schema, role); err != nil {
		return false, err
	}
	return made, pgdb.SetRights(ctx, db, Schema, role, map[string]pgdb.Rights{"events": {Insert: true}})
}

// doubts returns what an operator should know of the server.
func doubts(ctx context.Context, db *sqlx.DB) ([]string, error) {
	all, err := pgdb.Doubts(ctx, db)
	if err != nil {
		return nil, err
	}
	var alone bool
	err = db.GetContext(ctx, &alone, `SELECT current_setting('synchronous_standby_names') = '' AND NOT EXISTS (SELECT FROM pg_stat_replication)`)
	if err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	if alone {
		all = append(all, "no other server confirms what is committed (synchronous_standby_names is empty): an acknowledged event is on this server's disk only")
	}
	return all, nil
}

// bound lets the server end sessions that sit on a transaction, in this database. It
// reports whether the role may say so.
func bound(ctx context.Context, db *sqlx.DB) (may bool, err error) {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // after Commit it does nothing
	// Two that alter a database at once disturb each other.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating); err != nil {
		return false, err
	}
	var database string
	err = tx.QueryRowContext(ctx, `SELECT datname, pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()`).Scan(&database, &may)
	if err != nil || !may {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`ALTER DATABASE %s SET idle_in_transaction_session_timeout = %d`,
		pgx.Identifier{database}.Sanitize(), IdleInTransaction.Milliseconds())); err != nil {
		return false, fmt.Errorf("bound idle transactions: %w", err)
	}
	return true, tx.Commit()
}

// Doubts returns, in sentences for the operator, the settings of the server under
// which something that was acknowledged may still be lost.
func (s *Store) Doubts(ctx context.Context) (all []string, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		all, err = pgdb.Doubts(ctx, s.readers)
		return err
	})
	return all, err
}
