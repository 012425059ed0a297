package keysdb

import (
	"context"
	"fmt"
	"io"

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
