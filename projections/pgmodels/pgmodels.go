// Package pgmodels keeps read models in a PostgreSQL that several processes share. One
// process at a time runs a projection, and all others follow it.
//
// A generation is a schema, coffre_NAME_vVERSION_gNUMBER, on the search path of the
// connections that use it, so that statements are the same as in a file. The schema
// coffre_models says which generation is in force, which token a runner has, and where
// one stopped. docs/decisions/0012-models-on-postgresql.md says why.
//
// Invariant: no process drops a generation that another one has open.
package pgmodels

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
	"coffre/eventstore/postgres/pgdb"
	"coffre/projections"
)

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
	cleanWait    = 200 * time.Millisecond // for queries that run now; for longer ones it is put off
)

// fenced is the token that no runner has: a generation that was replaced takes
// nothing any more.
const fenced = math.MaxInt64

// Medium is one database that holds read models.
type Medium struct {
	dsn     string
	control *sqlx.DB
	session *pgdb.Session
}

var _ projections.Medium = (*Medium)(nil)

// Open connects to the PostgreSQL that dsn names and makes what is missing. The role
// owns what it makes, and may create schemas.
func Open(ctx context.Context, dsn string) (*Medium, error) {
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
	session, err := pgdb.OpenSession(dsn)
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	return &Medium{dsn: dsn, control: control, session: session}, nil
}

// Complete returns the versions of each read model that have complete tables in the PostgreSQL
// that dsn names. It changes nothing.
func Complete(ctx context.Context, dsn string) (_ map[string][]int, err error) {
	db, err := pgdb.Open(dsn, pgdb.Options{Schema: controlSchema, Name: "coffre models", Conns: 1, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("look for read models: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var rows []struct {
		Name    string `db:"name"`
		Version int    `db:"version"`
	}
	if err := db.SelectContext(ctx, &rows, `SELECT name, version FROM live`); err != nil && !pgdb.Missing(err) {
		return nil, fmt.Errorf("look for read models: %w", err)
	}
	all := map[string][]int{}
	for _, r := range rows {
		all[r.Name] = append(all[r.Name], r.Version)
	}
	return all, nil
}

// Close gives all leases back. Whoever uses the read models has ended.
func (m *Medium) Close() error { return errors.Join(m.session.Close(), m.control.Close()) }

// Session returns the locks of the database, whose connection the read models share. It
// is open as long as the medium is.
func (m *Medium) Session() *pgdb.Session { return m.session }

// Checksums reports whether the server finds changed pages when it reads them.
func (m *Medium) Checksums(ctx context.Context) (bool, error) {
	var on string
	if err := m.control.GetContext(ctx, &on, `SHOW data_checksums`); err != nil {
		return false, fmt.Errorf("ask for data checksums: %w", err)
	}
	return on == "on", nil
}

// Model implements projections.Medium.
func (m *Medium) Model(name string, version int) projections.Model {
	return &model{m, name, version}
}

// Furthest implements projections.Medium.
func (m *Medium) Furthest(ctx context.Context) (name string, at eventstore.Position, err error) {
	err = m.eachLive(ctx, func(s *model, _ int64, shown eventstore.Position) error {
		if shown.Compare(at) > 0 {
			name, at = s.name, shown
		}
		return nil
	})
	return name, at, err
}

// Discard implements projections.Medium.
func (m *Medium) Discard(ctx context.Context, end eventstore.Position) (names []string, err error) {
	err = m.eachLive(ctx, func(s *model, generation int64, shown eventstore.Position) error {
		if shown.Compare(end) <= 0 {
			return nil
		}
		names = append(names, s.name)
		return s.Withdraw(ctx, generation)
	})
	return names, errors.Join(err, m.discardBuilds(ctx))
}

// discardBuilds removes what interrupted builds left, which nobody has open.
func (m *Medium) discardBuilds(ctx context.Context) error {
	left, err := m.schemas(ctx, `coffre\_%\_v%\_g%`)
	if err != nil {
		return fmt.Errorf("discard read model: %w", err)
	}
	var live []int64 // numbers are one sequence
	if err := m.control.SelectContext(ctx, &live, `SELECT generation FROM live`); err != nil {
		return fmt.Errorf("discard read model: %w", err)
	}
	for _, one := range left {
		if slices.Contains(live, one.generation) {
			continue
		}
		if _, err := m.session.Alone(ctx, generationLock(one.Name), func() error { return dropSchema(ctx, m.control, one.Name) }); err != nil {
			return err
		}
	}
	return nil
}

// eachLive calls each with the generations in force.
func (m *Medium) eachLive(ctx context.Context, each func(s *model, generation int64, shown eventstore.Position) error) error {
	var all []struct {
		Name       string
		Version    int
		Generation int64
	}
	if err := m.control.SelectContext(ctx, &all, `SELECT name, version, generation FROM live`); err != nil {
		return fmt.Errorf("read models in force: %w", err)
	}
	for _, one := range all {
		s := &model{m, one.Name, one.Version}
		var commit, prepare int64
		err := m.control.QueryRowxContext(ctx, `SELECT commit_position, prepare_position FROM `+s.schema(one.Generation)+`.checkpoint`).Scan(&commit, &prepare)
		if pgdb.Missing(err) { // another process has replaced it meanwhile
			continue
		}
		if err != nil {
			return fmt.Errorf("checkpoint of read model %s: %w", one.Name, err)
		}
		if err := each(s, one.Generation, eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}); err != nil {
			return err
		}
	}
	return nil
}

// model is one projection's generations of one version.
type model struct {
	m       *Medium
	name    string
	version int
}

func (s *model) schema(generation int64) string {
	return fmt.Sprintf("coffre_%s_v%d_g%d", s.name, s.version, generation)
}

// generationLock names the lock that whoever has a generation open shares with others.
func generationLock(schema string) string { return "coffre generation " + schema }

// inForce returns the generation in force; 0 when there is none.
func (s *model) inForce(ctx context.Context) (generation int64, err error) {
	err = s.m.control.GetContext(ctx, &generation, `SELECT generation FROM live WHERE name = $1 AND version = $2`, s.name, s.version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read model in force: %w", err)
	}
	return generation, nil
}

// Start implements projections.Generations: whoever waits for the lease finds the
// generation in force.
func (s *model) Start(context.Context) (projections.Tables, error) { return nil, nil }

// Open implements projections.Generations. A generation of an older program gets the
// primary key that its checkpoint lacks; it is not built anew for that.
func (s *model) Open(ctx context.Context) (projections.Tables, error) {
	generation, err := s.inForce(ctx)
	if err != nil || generation == 0 {
		return nil, err
	}
	tables, err := s.open(ctx, generation)
	if err != nil || tables == nil {
		return nil, err
	}
	if err := pgdb.AddPrimaryKey(ctx, s.m.control, tables.name+".checkpoint", "name"); err != nil {
		return nil, errors.Join(fmt.Errorf("open read model: %w", err), tables.Close())
	}
	return tables, nil
}

// open returns nil when the generation is being dropped.
func (s *model) open(ctx context.Context, generation int64) (*tables, error) {
	name := s.schema(generation)
	shared, err := s.m.session.Share(ctx, generationLock(name))
	if err != nil || !shared {
		return nil, err
	}
	d := &tables{m: s.m, name: name, generation: generation, texts: map[string]string{}}
	if d.reader, err = pgdb.Open(s.m.dsn, pgdb.Options{Schema: name, Name: "coffre " + s.name, Conns: modelReaders, ReadOnly: true}); err == nil {
		d.write, err = pgdb.Open(s.m.dsn, pgdb.Options{Schema: name, Name: "coffre " + s.name, Conns: 1, Lazy: true})
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Create implements projections.Generations.
func (s *model) Create(ctx context.Context, statements string) (projections.Tables, error) {
	var generation int64
	if err := s.m.control.GetContext(ctx, &generation, `SELECT nextval('numbers')`); err != nil {
		return nil, fmt.Errorf("create read model: %w", err)
	}
	d, err := s.open(ctx, generation)
	if err == nil && d == nil {
		err = errors.New("a number was given twice")
	}
	if err != nil {
		return nil, fmt.Errorf("create read model: %w", err)
	}
	var conn *sqlx.Conn
	if _, err = s.m.control.ExecContext(ctx, `CREATE SCHEMA `+s.schema(generation)); err == nil {
		conn, err = d.writer(ctx)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, statements)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create read model: %w", err), d.discard(ctx))
	}
	return d, nil
}

// settledMark is the comment on the schema of a generation where Schema.Settle has run.
const settledMark = "settled"

// Resume implements projections.Generations. What other builds left goes with Drop.
func (s *model) Resume(ctx context.Context) (projections.Tables, bool, error) {
	inForce, err := s.inForce(ctx)
	if err != nil {
		return nil, false, err
	}
	left, err := s.m.schemas(ctx, fmt.Sprintf(`coffre\_%s\_v%d\_g%%`, s.name, s.version))
	if err != nil {
		return nil, false, fmt.Errorf("resume read model: %w", err)
	}
	slices.SortFunc(left, func(a, b schemaLeft) int { return cmp.Compare(b.generation, a.generation) })
	for _, one := range left {
		if one.generation == inForce {
			continue
		}
		free, err := s.m.session.Alone(ctx, generationLock(one.Name), func() error { return nil })
		if err != nil {
			return nil, false, fmt.Errorf("resume read model: %w", err)
		}
		if !free { // another process builds it
			continue
		}
		d, err := s.open(ctx, one.generation)
		if err != nil {
			return nil, false, fmt.Errorf("resume read model: %w", err)
		}
		if d != nil {
			return d, one.Settled, nil
		}
	}
	return nil, false, nil
}

// schemaLeft is a schema of a generation, in whatever state.
type schemaLeft struct {
	Name       string `db:"nspname"`
	Settled    bool   `db:"settled"`
	generation int64
}

// schemas returns the generations whose schemas have names like the pattern.
func (m *Medium) schemas(ctx context.Context, pattern string) (all []schemaLeft, err error) {
	var found []schemaLeft
	if err := m.control.SelectContext(ctx, &found, `SELECT nspname, COALESCE(obj_description(oid, 'pg_namespace') = $2, false) AS settled
		FROM pg_namespace WHERE nspname LIKE $1 ORDER BY nspname`, pattern, settledMark); err != nil {
		return nil, err
	}
	for _, one := range found {
		part := schemaPattern.FindStringSubmatch(one.Name)
		if part == nil {
			continue
		}
		if one.generation, err = strconv.ParseInt(part[3], 10, 64); err != nil {
			continue // no schema of ours
		}
		all = append(all, one)
	}
	return all, nil
}

// Finish implements projections.Generations.
func (s *model) Finish(ctx context.Context, built projections.Tables, schema projections.Schema) (projections.Tables, error) {
	d := built.(*tables)
	conn, err := d.writer(ctx)
	var names []string
	if err == nil {
		names, err = pgdb.Tables(ctx, conn, d.name)
	}
	for _, step := range []string{
		`SET statement_timeout = 0`, // an index over millions of rows takes its time; ctx bounds it
		schema.IndexesLeft(),
		`BEGIN;` + schema.Settle + `COMMENT ON SCHEMA ` + d.name + ` IS '` + settledMark + `'; COMMIT`,
		`ANALYZE ` + strings.Join(names, ", "),
		`RESET statement_timeout`,
	} {
		if err == nil && step != "" {
			_, err = conn.ExecContext(ctx, step)
		}
	}
	if err != nil {
		err = fmt.Errorf("finish read model: %w", err)
		if ctx.Err() != nil {
			return nil, errors.Join(err, d.Close())
		}
		return nil, errors.Join(err, d.discard(ctx))
	}
	d.releaseWriter() // a process that only follows needs none
	return d, nil
}

// Promote implements projections.Generations. A runner that still writes to the former
// generation, in whatever process, is overtaken from here on.
func (s *model) Promote(ctx context.Context, next projections.Tables, at projections.Checkpoint) (err error) {
	tx, err := s.m.control.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("switch read model: %w", err)
	}
	defer func() {
		if err != nil && !errors.Is(err, projections.ErrBehind) {
			err = fmt.Errorf("switch read model: %w", err)
		}
		err = errors.Join(err, ignoreDone(tx.Rollback()))
	}()
	// Promotions of one projection wait for each other.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "coffre switch "+s.lease()); err != nil {
		return err
	}
	var former int64
	err = tx.GetContext(ctx, &former, `SELECT generation FROM live WHERE name = $1 AND version = $2 FOR UPDATE`, s.name, s.version)
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
		if at.Position.Compare(eventstore.Position{Commit: uint64(commit), Prepare: uint64(prepare)}) < 0 {
			return projections.ErrBehind
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO live (name, version, generation) VALUES ($1, $2, $3)
		ON CONFLICT (name, version) DO UPDATE SET generation = excluded.generation`, s.name, s.version, next.Generation()); err != nil {
		return err
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Withdraw implements projections.Generations.
func (s *model) Withdraw(ctx context.Context, generation int64) error {
	if _, err := s.m.control.ExecContext(ctx, `DELETE FROM live WHERE name = $1 AND version = $2 AND generation = $3`, s.name, s.version, generation); err != nil {
		return fmt.Errorf("withdraw read model: %w", err)
	}
	return nil
}

var schemaPattern = regexp.MustCompile(`^coffre_([a-z]+)_v([0-9]+)_g([0-9]+)$`)

// Drop implements projections.Generations for the generations of this and of older
// versions that are not in force. A newer program's are its own.
func (s *model) Drop(ctx context.Context, _ int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTime)
	defer cancel()
	generation, err := s.inForce(ctx)
	if err != nil || generation == 0 {
		return err
	}
	var names []string
	if err := s.m.control.SelectContext(ctx, &names, `SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 ORDER BY nspname`, `coffre\_`+s.name+`\_v%`); err != nil {
		return fmt.Errorf("drop read model: %w", err)
	}
	var all error
	for _, name := range names {
		part := schemaPattern.FindStringSubmatch(name)
		if part == nil || part[1] != s.name || name == s.schema(generation) {
			continue
		}
		version, err := strconv.Atoi(part[2])
		if err != nil || version > s.version {
			continue
		}
		number, err := strconv.ParseInt(part[3], 10, 64)
		if err != nil {
			continue
		}
		_, err = s.m.session.Alone(ctx, generationLock(name), func() error { return s.dropUnused(ctx, name, version, number) })
		all = errors.Join(all, err)
	}
	return all
}

// dropUnused drops a generation that nobody has open. Whoever promotes one has it
// open, so that what is not in force now will not be; of an older version the one in
// force goes, too.
func (s *model) dropUnused(ctx context.Context, name string, version int, generation int64) error {
	if version == s.version {
		if now, err := s.inForce(ctx); err != nil || now == generation {
			return err
		}
	}
	if _, err := s.m.control.ExecContext(ctx, `DELETE FROM live WHERE name = $1 AND version = $2 AND generation = $3`, s.name, version, generation); err != nil {
		return fmt.Errorf("drop read model: %w", err)
	}
	return dropSchema(ctx, s.m.control, name)
}

func dropSchema(ctx context.Context, control *sqlx.DB, name string) error {
	if _, err := control.ExecContext(ctx, `DROP SCHEMA IF EXISTS `+name+` CASCADE`); err != nil {
		return fmt.Errorf("drop read model: %w", err)
	}
	return nil
}
