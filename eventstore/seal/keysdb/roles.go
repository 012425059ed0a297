package keysdb

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore/postgres/pgdb"
)

// AdmitPostgres lets a role use the key database in a PostgreSQL: it may read every table,
// and in each table write what rights names, by the table's name, and nothing else. The
// role is made where there is none, without a password. dsn is of the tables' owner.
// AdmitPostgres returns pgdb.ErrRoleName, pgdb.ErrRoleOwner, or ErrNotOwner where the
// tables are another's.
func AdmitPostgres(ctx context.Context, dsn, role string, rights map[string]pgdb.Rights) (made bool, err error) {
	db, err := pgdb.Open(dsn, pgdb.Options{Schema: schema, Name: "coffre keys preparing", Conns: 1})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if made, err = pgdb.MakeRole(ctx, db, schema, role); err == nil {
		err = pgdb.SetRights(ctx, db, schema, role, rights)
	}
	if pgdb.NotAllowed(err) {
		err = fmt.Errorf("%w: %w", ErrNotOwner, err)
	}
	return made, err
}

// Owned reports whether nothing in this database is refused to the role that has it open,
// as in every file: in a PostgreSQL, whether the role owns the tables.
func (db *DB) Owned(ctx context.Context) (bool, error) { return db.engine.owned(ctx) }
