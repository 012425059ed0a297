package keysdb

import (
	"context"
	"fmt"
	"io"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

// OpenSnapshot connects to the database at path to copy it while it is in use.
// While the copy is held, Scrub fails.
func OpenSnapshot(ctx context.Context, path string) (*sqlitedb.Snapshot, error) {
	s, err := sqlitedb.OpenSnapshot(ctx, path, sqlitedb.Options{})
	if err != nil {
		return nil, fmt.Errorf("key database: %w", err)
	}
	return s, nil
}

// OpenPostgresSnapshot connects to the key database in a PostgreSQL to copy it while it is in
// use. While the copy is held, Scrub fails.
func OpenPostgresSnapshot(ctx context.Context, dsn string) (*pgdb.Snapshot, error) {
	s, err := pgdb.OpenSnapshot(ctx, dsn, schema)
	if err != nil {
		return nil, fmt.Errorf("key database: %w", err)
	}
	return s, nil
}

// StepsIn returns how many steps each component's tables in a copy have seen.
func StepsIn(s *pgdb.Snapshot) (map[string]int, error) {
	done := map[string]int{}
	err := s.Rows(versions, []string{"component", "version"}, func(values []any) error {
		component, named := values[0].(string)
		version, counted := values[1].(int64)
		if !named || !counted {
			return fmt.Errorf("table %s holds a %T and a %T", versions, values[0], values[1])
		}
		done[component] = int(version)
		return nil
	})
	return done, err
}

// Frozen runs do while no change is made: what do sees committed elsewhere, the
// changes committed here so far account for. do should take milliseconds; it may be
// run more than once, and must then start afresh.
func (db *DB) Frozen(ctx context.Context, do func() error) error {
	_, err := Do(ctx, db, func(*Tx) (struct{}, error) { return struct{}{}, do() })
	return err
}

// Restore makes the database at path, where none may be, of what a snapshot wrote.
// See [sqlitedb.Restore].
func Restore(ctx context.Context, path string, r io.Reader) error {
	return sqlitedb.Restore(ctx, path, sqlitedb.Options{SecureDelete: true, PageSize: pageSize}, r)
}
