package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
)

// Advisory locks of a database are numbers; ours begin with "cf".
const (
	appending = 0x6366_0010 // held from the first insert of a batch until it is committed
	migrating = 0x6366_0011 // held while the tables change
)

// ErrNotPrepared: the tables are not there or older than this program, and the role
// may not change that.
var ErrNotPrepared = errors.New("the event log is not prepared for this program: its owner runs coffre store prepare")

// step is one change of the tables. Steps are added, never edited.
type step struct {
	sql string
	// serves is the number of the oldest step whose program still works after this
	// one. A step that only adds keeps its predecessor's (expand); one that takes away
	// what only older programs use raises it, a release later (contract).
	serves int
}

// steps: names of streams and types are bytes, because the port takes any. Narrow
// columns come first. Large ones are kept as they came: what is sealed does not
// compress.
//
// There is no index over ids: a random index would be paid by every append, and ids
// are asked for only when a writer repeats itself, within one stream.
var steps = []step{
	{serves: 1, sql: `
CREATE TABLE events (
	position bigint PRIMARY KEY,       -- 1, 2, 3 … without gaps
	revision bigint NOT NULL,          -- 0, 1, 2 … without gaps within its stream
	time     bigint NOT NULL,          -- microseconds since 1970, UTC
	id       uuid   NOT NULL,
	stream   bytea  NOT NULL,
	type     bytea  NOT NULL,
	sum      bytea  NOT NULL,          -- proof.LeafHash of the record
	meta     bytea,
	clear    bytea,
	sealed   bytea,
	UNIQUE (stream, revision),
	CHECK (position > 0 AND revision >= 0)
);
ALTER TABLE events ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'an event is never changed or deleted' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
	FOR EACH STATEMENT EXECUTE FUNCTION never();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed; -- in a replicating session too
`},
}

// state is what was found in a database.
type state struct {
	Form       int  // of the tables: the number of steps done; 0: none
	Hidden     bool // there are tables that the role may not see
	Serves     int  // the oldest form of a program that they serve
	MayPrepare bool // the role may make or change the tables
}

func (s state) behind() bool { return s.Form < len(steps) }

// usable tells why this program cannot use the tables, if so.
func (s state) usable() error {
	switch {
	case s.Hidden:
		return errors.New("there is an event log, and this role may not read it: its owner runs coffre store prepare with the role's name")
	case s.behind():
		return fmt.Errorf("%w (form %d, the program's is %d)", ErrNotPrepared, s.Form, len(steps))
	case s.Serves > len(steps):
		return fmt.Errorf("the event log has form %d and serves programs from form %d on, this one's is %d: it is too old", s.Form, s.Serves, len(steps))
	}
	return nil
}

// inspect tells what there is, to a role that may see it.
func inspect(ctx context.Context, db *sqlx.DB) (state, error) {
	var found struct {
		There bool `db:"there"`
		Owner bool `db:"owner"`
		Reads bool `db:"reads"`
	}
	err := db.GetContext(ctx, &found, `SELECT c.oid IS NOT NULL AS there,
		CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') ELSE pg_has_role(n.nspowner, 'USAGE') END AS owner,
		coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false) AS reads
		FROM (SELECT 1) one LEFT JOIN pg_namespace n ON n.nspname = $1 LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'form'`, Schema)
	if err != nil {
		return state{}, fmt.Errorf("look for tables: %w", pgdb.NamePooler(err))
	}
	s := state{MayPrepare: found.Owner, Hidden: found.There && !found.Reads}
	if !found.There || s.Hidden {
		return s, nil
	}
	if err := db.QueryRowxContext(ctx, `SELECT form, serves FROM form`).Scan(&s.Form, &s.Serves); err != nil {
		return state{}, fmt.Errorf("look for tables: %w", err)
	}
	return s, nil
}

// Form returns the form of the log's tables in a PostgreSQL, 0 where there are none, the form of
// the oldest program that they serve, and that of this program. It changes nothing.
func Form(ctx context.Context, dsn string) (form, serves, program int, err error) {
	db, err := pgdb.Open(dsn, pgdb.Options{Schema: Schema, Name: "coffre events looking", Conns: 1, ReadOnly: true})
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := inspect(ctx, db)
	if err == nil && s.Hidden {
		err = s.usable()
	}
	return s.Form, s.Serves, len(steps), err
}

// migrate does the steps that are missing, in one transaction. Of several processes
// that come at once one does them, and a kill in the middle leaves nothing.
func migrate(ctx context.Context, dsn string, lock time.Duration) error {
	c, err := config(dsn, "coffre events preparing", lock)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating); err != nil {
			return err
		}
		var there bool // asked, because IF NOT EXISTS wants a privilege even if it does
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, Schema).Scan(&there); err != nil {
			return err
		}
		if !there {
			if _, err := tx.Exec(ctx, `CREATE SCHEMA `+Schema); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS form ( -- one row
			one boolean PRIMARY KEY DEFAULT true CHECK (one), form integer NOT NULL, serves integer NOT NULL)`)
		if err != nil {
			return err
		}
		var done int
		if err := tx.QueryRow(ctx, `SELECT coalesce((SELECT form FROM form), 0)`).Scan(&done); err != nil {
			return err
		}
		for i := done; i < len(steps); i++ {
			if _, err := tx.Exec(ctx, steps[i].sql); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
			_, err := tx.Exec(ctx, `INSERT INTO form (form, serves) VALUES ($1, $2)
				ON CONFLICT (one) DO UPDATE SET form = excluded.form, serves = excluded.serves`, i+1, steps[i].serves)
			if err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prepare tables: %w", err)
	}
	return nil
}

// durable refuses a session whose commits could be lost.
func durable(ctx context.Context, conn *pgx.Conn) error {
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		var value string
		if err := conn.QueryRow(ctx, `SELECT current_setting($1)`, setting).Scan(&value); err != nil {
			return fmt.Errorf("read the server's settings: %w", err)
		}
		if value == "off" {
			return fmt.Errorf("PostgreSQL runs with %s=off: %w", setting, errVolatile)
		}
	}
	return nil
}

var errVolatile = errors.New("it would lose events that it has acknowledged")
