package reactors

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
)

const (
	copyRows = 100               // share a statement
	versions = "reactor_version" // on PostgreSQL only; a file has its version elsewhere
)

// OwnTables are the tables that the reactors have on PostgreSQL and not in a file.
func OwnTables() []string { return []string{versions} }

// OpenSnapshot connects to the reactors' tables in the PostgreSQL database of dsn.
func OpenSnapshot(ctx context.Context, dsn string) (*pgdb.Snapshot, error) {
	return pgdb.OpenSnapshot(ctx, dsn, pgSchema)
}

// HandOver makes the role that serves the owner of the reactors' tables, where a restore made them as
// the database's owner, whose connection db is.
func HandOver(ctx context.Context, db *sqlx.DB, role string) error {
	return pgdb.HandOver(ctx, db, pgSchema, role)
}

// CopyTo brings every row of a database in a file to one on PostgreSQL, whose tables are there, in
// place of what it holds, in one transaction. Nothing else may use either.
func (db *DB) CopyTo(ctx context.Context, to *DB) error {
	var tables []string
	if err := db.sql.Reader.SelectContext(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name`); err != nil {
		return fmt.Errorf("copy the reactors' database: %w", err)
	}
	return to.Write(ctx, func(tx *sqlx.Tx) error {
		for _, table := range tables {
			if err := copyTable(ctx, db.sql.Reader, tx, table); err != nil {
				return fmt.Errorf("copy table %s of the reactors: %w", table, err)
			}
		}
		return nil
	})
}

func copyTable(ctx context.Context, from *sqlx.DB, to *sqlx.Tx, table string) error {
	if _, err := to.ExecContext(ctx, `DELETE FROM `+table); err != nil {
		return err
	}
	rows, err := from.QueryxContext(ctx, `SELECT * FROM `+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	one := `(?` + strings.Repeat(`, ?`, len(columns)-1) + `)`
	var args []any
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		_, err := to.ExecContext(ctx, to.Rebind(`INSERT INTO `+table+` (`+strings.Join(columns, ", ")+`) VALUES `+one+strings.Repeat(`, `+one, n-1)), args...)
		args, n = args[:0], 0
		return err
	}
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return err
		}
		if args, n = append(args, values...), n+1; n == copyRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return flush()
}
