package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
)

// On PostgreSQL a generation is a schema, coffre_NAME_vVERSION_gNUMBER, on the search
// path of the connections that use it, so that statements are the same as in a file.
// The schema coffre_models says which one is in force, which token a runner has, and
// where one stopped. docs/decisions/0012-models-on-postgresql.md says why.
const controlSchema = "coffre_models"

const controlTables = `
CREATE SEQUENCE IF NOT EXISTS numbers;
CREATE TABLE IF NOT EXISTS live (
	name TEXT NOT NULL, version BIGINT NOT NULL, generation BIGINT NOT NULL, PRIMARY KEY (name, version));
CREATE TABLE IF NOT EXISTS runners (
	name TEXT PRIMARY KEY, token BIGINT NOT NULL, poisoned_leaf BIGINT, poisoned_type TEXT);
`

const (
	controlConns = 2
	modelReaders = 2 // connections of one model's queries in one process
	dropTime     = time.Minute
	cleanWait    = 200 * time.Millisecond // for queries of the moment; for longer ones it is put off
)

// fenced is the token that no runner has: a generation that was replaced takes
// nothing any more.
const fenced = math.MaxInt64

// Postgres is where read models lie on a PostgreSQL that several processes share.
// One runner per projection moves it, whichever process that is in; all others
// follow. It is a [Lease] also for what else only one process may do.
type Postgres struct {
	dsn     string
	control *sqlx.DB
	session *pgdb.Session
}

var _ Lease = (*Postgres)(nil)

// OpenPostgres connects to the PostgreSQL that dsn names and makes what is missing.
// The role owns what it makes, and may create schemas.
func OpenPostgres(ctx context.Context, dsn string) (*Postgres, error) {
	control, err := pgdb.Open(dsn, pgdb.Options{Schema: controlSchema, Name: "coffre models", Conns: controlConns})
	if err != nil {
		return nil, fmt.Errorf("open the read models: %w", err)
	}
	err = pgdb.Prepare(ctx, control, controlSchema)
	if err == nil {
		_, err = control.ExecContext(ctx, `BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('coffre models', 0));`+controlTables+`COMMIT`)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the read models: %w", err), control.Close())
	}
	session, err := pgdb.OpenSession(dsn, pgdb.Options{Schema: controlSchema, Name: "coffre locks"})
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	return &Postgres{dsn: dsn, control: control, session: session}, nil
}

// Close gives all leases back. Whoever uses them has ended.
func (p *Postgres) Close() error { return errors.Join(p.session.Close(), p.control.Close()) }

// Acquire implements Lease: of all processes on the database one holds the name,
// until it ends or its connection does.
func (p *Postgres) Acquire(ctx context.Context, name string) (context.Context, int64, func(), error) {
	var token int64
	held, release, err := p.session.Hold(ctx, "coffre lease "+name, func(ctx context.Context, conn *sqlx.Conn) error {
		return conn.GetContext(ctx, &token, `INSERT INTO runners (name, token) VALUES ($1, 1)
			ON CONFLICT (name) DO UPDATE SET token = runners.token + 1, poisoned_leaf = NULL, poisoned_type = NULL RETURNING token`, name)
	})
	if err != nil {
		return nil, 0, nil, fmt.Errorf("lease of %s: %w", name, err)
	}
	return held, token, release, nil
}

// schemas are the generations of one projection on a PostgreSQL.
type schemas struct {
	p    *Postgres
	name string
	vers int
}

func (s schemas) lease() string { return fmt.Sprintf("%s.v%d", s.name, s.vers) }

func (s schemas) schema(generation int64) string {
	return fmt.Sprintf("coffre_%s_v%d_g%d", s.name, s.vers, generation)
}

// using is the lock that whoever has a generation open shares with others.
func using(schema string) string { return "coffre generation " + schema }

// inForce returns the generation in force; 0 when there is none.
func (s schemas) inForce(ctx context.Context) (generation int64, err error) {
	err = s.p.control.GetContext(ctx, &generation, `SELECT generation FROM live WHERE name = $1 AND version = $2`, s.name, s.vers)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read model in force: %w", err)
	}
	return generation, nil
}

func (s schemas) openLatest(ctx context.Context) (*database, error) {
	generation, err := s.inForce(ctx)
	if err != nil || generation == 0 {
		return nil, err
	}
	d, err := s.open(ctx, generation)
	if err != nil || d == nil {
		return nil, err
	}
	if d.at, err = readCheckpoint(ctx, d.reader); err != nil {
		return nil, errors.Join(err, d.close())
	}
	// What the last runner deleted may still be there.
	d.unscrubbed = true
	return d, nil
}

// open returns nil when the generation is being dropped.
func (s schemas) open(ctx context.Context, generation int64) (*database, error) {
	name := s.schema(generation)
	shared, err := s.p.session.Share(ctx, using(name))
	if err != nil || !shared {
		return nil, err
	}
	m := &modelSchema{p: s.p, name: name}
	if m.reader, err = pgdb.Open(s.p.dsn, pgdb.Options{Schema: name, Name: "coffre " + s.name, Conns: modelReaders, ReadOnly: true}); err == nil {
		m.write, err = pgdb.Open(s.p.dsn, pgdb.Options{Schema: name, Name: "coffre " + s.name, Conns: 1, Lazy: true})
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return &database{medium: m, reader: m.reader, generation: generation, asText: true, statements: map[string]*sqlx.Stmt{}}, nil
}

func (s schemas) create(ctx context.Context, schema Schema) (*database, error) {
	var generation int64
	if err := s.p.control.GetContext(ctx, &generation, `SELECT nextval('numbers')`); err != nil {
		return nil, fmt.Errorf("create read model: %w", err)
	}
	d, err := s.open(ctx, generation)
	if err == nil && d == nil {
		err = errors.New("a number was given twice")
	}
	if err != nil {
		return nil, fmt.Errorf("create read model: %w", err)
	}
	d.building = true
	if _, err = s.p.control.ExecContext(ctx, `CREATE SCHEMA `+s.schema(generation)); err == nil {
		err = d.pin(ctx)
	}
	if err == nil {
		_, err = d.tx.conn.ExecContext(ctx, checkpointTable+schema.Tables)
	}
	if err == nil {
		_, err = d.tx.conn.ExecContext(ctx, `INSERT INTO checkpoint VALUES ($1, $2, 0, 0, 0, 0)`, s.name, s.vers)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create read model: %w", err), d.discard(ctx))
	}
	return d, nil
}

// finish leaves the generation beside the one in force: see promote.
func (s schemas) finish(ctx context.Context, d *database, schema Schema) (*database, error) {
	err := d.pin(ctx)
	var tables []string
	if err == nil {
		tables, err = pgdb.Tables(ctx, d.tx.conn, s.schema(d.generation))
	}
	for _, step := range []string{
		`SET statement_timeout = 0`, // an index over millions of rows takes its time; ctx bounds it
		schema.Indexes,
		`BEGIN;` + schema.Settle + `COMMIT`,
		`ANALYZE ` + strings.Join(tables, ", "),
		`RESET statement_timeout`,
	} {
		if err == nil && step != "" {
			_, err = d.tx.conn.ExecContext(ctx, step)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finish read model: %w", err), d.discard(ctx))
	}
	d.building, d.tx.building = false, false
	return d, nil
}

// errBehind: the generation shows less than the one in force.
var errBehind = errors.New("projections: the new generation is not as far as the one in force")

// promote puts a finished generation in force, unless it shows less than the former
// one does now: errBehind. A runner that still writes to the former one, in whatever
// process, is overtaken from here on.
func (s schemas) promote(ctx context.Context, next *database) (err error) {
	tx, err := s.p.control.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("switch read model: %w", err)
	}
	defer func() {
		if err != nil && !errors.Is(err, errBehind) {
			err = fmt.Errorf("switch read model: %w", err)
		}
		err = errors.Join(err, ignoreDone(tx.Rollback()))
	}()
	// Promotions of one projection wait for each other.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "coffre switch "+s.lease()); err != nil {
		return err
	}
	var former int64
	err = tx.GetContext(ctx, &former, `SELECT generation FROM live WHERE name = $1 AND version = $2 FOR UPDATE`, s.name, s.vers)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		var commit, prepare, leaf int64
		table := s.schema(former) + `.checkpoint`
		// The row stays locked until the switch: nobody goes on meanwhile.
		err := tx.QueryRowxContext(ctx, `UPDATE `+table+` SET fence = $1 RETURNING commit_position, prepare_position, next_leaf`, int64(fenced)).Scan(&commit, &prepare, &leaf)
		if err != nil {
			return err
		}
		if next.at.Position.Compare(eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}) < 0 {
			return errBehind
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO live (name, version, generation) VALUES ($1, $2, $3)
		ON CONFLICT (name, version) DO UPDATE SET generation = excluded.generation`, s.name, s.vers, next.generation); err != nil {
		return err
	}
	return tx.Commit()
}

// withdraw takes a generation out of force: it shows what the log does not hold.
func (s schemas) withdraw(ctx context.Context, generation int64) error {
	if _, err := s.p.control.ExecContext(ctx, `DELETE FROM live WHERE name = $1 AND version = $2 AND generation = $3`, s.name, s.vers, generation); err != nil {
		return fmt.Errorf("withdraw read model: %w", err)
	}
	return nil
}

// stopped tells other processes where this one's runner stopped.
func (s schemas) stopped(ctx context.Context, token int64, at *Poisoned) error {
	_, err := s.p.control.ExecContext(ctx, `UPDATE runners SET poisoned_leaf = $1, poisoned_type = $2 WHERE name = $3 AND token = $4`, at.Leaf, at.Type, s.lease(), token)
	if err != nil {
		return fmt.Errorf("tell where it stopped: %w", err)
	}
	return nil
}

// errElsewhere: another process's runner stopped, which knows why.
var errElsewhere = errors.New("stopped in another process, whose log says why")

// observe returns what is in force, and where its runner stopped; nil when it did not.
func (s schemas) observe(ctx context.Context) (generation int64, stopped *Poisoned, err error) {
	var row struct {
		Generation int64          `db:"generation"`
		Leaf       sql.NullInt64  `db:"poisoned_leaf"`
		Type       sql.NullString `db:"poisoned_type"`
	}
	err = s.p.control.GetContext(ctx, &row, `SELECT COALESCE((SELECT generation FROM live WHERE name = $1 AND version = $2), 0) AS generation,
		(SELECT poisoned_leaf FROM runners WHERE name = $3), (SELECT poisoned_type FROM runners WHERE name = $3)`, s.name, s.vers, s.lease())
	if err != nil {
		return 0, nil, fmt.Errorf("read model in force: %w", err)
	}
	if row.Leaf.Valid {
		stopped = &Poisoned{Name: s.name, Leaf: row.Leaf.Int64, Type: row.Type.String, Err: errElsewhere}
	}
	return row.Generation, stopped, nil
}

var schemaPattern = regexp.MustCompile(`^coffre_([a-z]+)_v([0-9]+)_g([0-9]+)$`)

// drop removes the generations of this and of older versions that are not in force
// and that no process has open. A newer program's are its own.
func (s schemas) drop(ctx context.Context, _ *database, _ bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTime)
	defer cancel()
	generation, err := s.inForce(ctx)
	if err != nil || generation == 0 {
		return err
	}
	var names []string
	if err := s.p.control.SelectContext(ctx, &names, `SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 ORDER BY nspname`, `coffre\_`+s.name+`\_v%`); err != nil {
		return fmt.Errorf("drop read model: %w", err)
	}
	var all error
	for _, name := range names {
		m := schemaPattern.FindStringSubmatch(name)
		if m == nil || m[1] != s.name || name == s.schema(generation) {
			continue
		}
		version, err := strconv.Atoi(m[2])
		if err != nil || version > s.vers {
			continue
		}
		number, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			continue
		}
		_, err = s.p.session.Alone(ctx, using(name), func() error { return s.dropUnused(ctx, name, version, number) })
		all = errors.Join(all, err)
	}
	return all
}

// dropUnused drops a generation that nobody has open. Whoever promotes one has it
// open, so that what is not in force now will not be; of an older version the one in
// force goes, too.
func (s schemas) dropUnused(ctx context.Context, name string, version int, generation int64) error {
	if version == s.vers {
		if now, err := s.inForce(ctx); err != nil || now == generation {
			return err
		}
	}
	if _, err := s.p.control.ExecContext(ctx, `DELETE FROM live WHERE name = $1 AND version = $2 AND generation = $3`, s.name, version, generation); err != nil {
		return fmt.Errorf("drop read model: %w", err)
	}
	return dropSchema(ctx, s.p.control, name)
}

func dropSchema(ctx context.Context, control *sqlx.DB, name string) error {
	if _, err := control.ExecContext(ctx, `DROP SCHEMA IF EXISTS `+name+` CASCADE`); err != nil {
		return fmt.Errorf("drop read model: %w", err)
	}
	return nil
}

// modelSchema is the medium of one generation.
type modelSchema struct {
	p             *Postgres
	name          string
	write, reader *sqlx.DB
}

func (m *modelSchema) writer(ctx context.Context) (*sqlx.Conn, error) { return m.write.Connx(ctx) }

func (m *modelSchema) clean(ctx context.Context, _ *sqlx.Conn) (bool, error) {
	err := pgdb.Vacuum(ctx, m.p.control, m.name, cleanWait)
	if errors.Is(err, pgdb.ErrSeen) {
		return false, nil
	}
	return err == nil, err
}

func (m *modelSchema) each(ctx context.Context, query string, args []any, row func(Row) error) error {
	conn, err := m.reader.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver any) error {
		// The first argument asks for the binary form of every column.
		with := append(make([]any, 0, 1+len(args)), pgx.QueryResultFormats{pgx.BinaryFormatCode})
		rows, err := driver.(*stdlib.Conn).Conn().Query(ctx, m.reader.Rebind(query), append(with, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(Row{wire: rows.RawValues()}); err != nil {
				return err
			}
		}
		if rows.Err() != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		return rows.Err()
	})
}

func (m *modelSchema) close() error {
	var all error
	for _, db := range []*sqlx.DB{m.reader, m.write} {
		if db != nil {
			all = errors.Join(all, db.Close())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), dropTime)
	defer cancel()
	m.p.session.Unshare(ctx, using(m.name))
	return all
}

// remove drops a generation that was never in force, or was withdrawn, unless a
// process has it open.
func (m *modelSchema) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	_, err := m.p.session.Alone(ctx, using(m.name), func() error { return dropSchema(ctx, m.p.control, m.name) })
	return err
}
