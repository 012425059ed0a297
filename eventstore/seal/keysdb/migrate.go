package keysdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"coffre/eventstore/postgres/pgdb"
)

const versions = "schema_versions"

// Errors of bringing tables up to date.
var (
	// ErrNewer: the database was written by a later version of Coffre.
	ErrNewer = errors.New("keysdb: the key database was written by a newer version of Coffre")
	// ErrNotOwner: tables are missing or of an older form, and the role of the address may
	// not change them.
	ErrNotOwner = errors.New("keysdb: the key database was not prepared for this release: its owner has to run coffre store prepare")
)

// at returns how many steps of a component were run, or -1 where that is not known. It waits for
// nobody's turn: a start asks it of each component, while other processes write.
func (db *DB) at(ctx context.Context, component string) (steps int) {
	// Of a database without tables, or one that is away, the transaction tells.
	if err := db.writes.db.GetContext(ctx, &steps, db.writes.db.Rebind(`SELECT version FROM schema_versions WHERE component = ?`), component); err != nil {
		return -1
	}
	return steps
}

// Migrate brings the tables of one component up to date: it runs the steps that
// were not run before, each once, in order, in one transaction; of several processes
// one runs them. Steps are written in SQLite's words, and never edited, only added. Where
// nothing is to be done, reading is all that the database's role needs.
func (db *DB) Migrate(ctx context.Context, component string, steps []string) (err error) {
	if db.steps != nil {
		db.steps[component] = len(steps)
		return nil
	}
	if db.at(ctx, component) == len(steps) {
		return nil
	}
	ctx, tx, end, err := db.engine.begin(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", component, db.engine.judge(err, false))
	}
	defer end()
	defer func() {
		if err != nil {
			err = fmt.Errorf("migrate %s: %w", component, errors.Join(err, tx.Rollback()))
		}
	}()
	defer func() {
		if pgdb.NotAllowed(err) {
			err = fmt.Errorf("%w: %w", ErrNotOwner, err)
		}
	}()
	var tables []string
	if err := tx.SelectContext(ctx, &tables, db.engine.tables()); err != nil {
		return err
	}
	if !slices.Contains(tables, versions) {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_versions (component TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL)`); err != nil {
			return err
		}
	}
	var version int
	switch err := tx.GetContext(ctx, &version, tx.Rebind(`SELECT version FROM schema_versions WHERE component = ?`), component); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case version > len(steps):
		return ErrNewer
	case version == len(steps):
		return tx.Rollback()
	}
	for _, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, db.engine.words(step)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO schema_versions (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version`), component, len(steps)); err != nil {
		return err
	}
	return tx.Commit()
}
