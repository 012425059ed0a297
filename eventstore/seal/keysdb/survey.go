package keysdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/sqlite/sqlitedb"
)

// Steps returns how many steps each component's tables have in this program. migrate calls
// [DB.Migrate] for each component on the database that it is given, which is none: nothing else
// may be asked of it.
func Steps(ctx context.Context, migrate func(context.Context, *DB) error) (map[string]int, error) {
	db := &DB{steps: map[string]int{}}
	return db.steps, migrate(ctx, db)
}

// Done returns how many steps each component's tables in the file at path, which may be in use,
// have seen. It changes nothing; where no file is there are none.
func Done(ctx context.Context, path string) (map[string]int, error) {
	done := map[string]int{}
	tables := 0
	count := func(row *sqlite3.Stmt) { tables = row.ColumnInt(0) }
	if there, err := sqlitedb.Look(ctx, path, `SELECT count(*) FROM sqlite_schema WHERE name = '`+versions+`'`, count); err != nil || !there || tables == 0 {
		return done, err
	}
	_, err := sqlitedb.Look(ctx, path, `SELECT component, version FROM `+versions, func(row *sqlite3.Stmt) { done[row.ColumnText(0)] = row.ColumnInt(1) })
	return done, err
}

// DoneOnPostgres is [Done] of the key database in a PostgreSQL.
func DoneOnPostgres(ctx context.Context, dsn string) (_ map[string]int, err error) {
	db, err := pgdb.Open(dsn, pgdb.Options{Schema: schema, Name: "coffre keys", Conns: 1, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("look into the key database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var rows []struct {
		Component string `db:"component"`
		Version   int    `db:"version"`
	}
	done := map[string]int{}
	if err := db.SelectContext(ctx, &rows, `SELECT component, version FROM `+versions); err != nil && !pgdb.Missing(err) {
		return nil, fmt.Errorf("look into the key database: %w", err)
	}
	for _, r := range rows {
		done[r.Component] = r.Version
	}
	return done, nil
}
