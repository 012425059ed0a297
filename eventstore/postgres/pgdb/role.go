package pgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"
)

// Errors of giving rights to a role.
var (
	ErrRoleName  = errors.New("not a role's name: letters, digits and _, at most 63, a letter first")
	ErrRoleOwner = errors.New("a role of the vault must be neither a superuser nor a member of the tables' owner: nothing would be refused to it")
)

var roleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

// RoleName reports whether a text may name a role of the vault: at most 63 letters, digits
// and _, a letter first.
func RoleName(role string) bool { return roleName.MatchString(role) }

// MakeRole makes a role that may log in and has no password, if there is none of that
// name, and reports whether it made it. It returns ErrRoleName for what may be no name,
// and ErrRoleOwner for a role that may do whatever the owner of the schema may.
func MakeRole(ctx context.Context, db *sqlx.DB, schema, role string) (made bool, err error) {
	if !RoleName(role) {
		return false, ErrRoleName
	}
	var there, mighty bool
	err = db.QueryRowContext(ctx, `SELECT r.oid IS NOT NULL, coalesce(r.rolsuper OR pg_has_role(r.oid, n.nspowner, 'MEMBER'), false)
		FROM pg_namespace n LEFT JOIN pg_roles r ON r.rolname = $2 WHERE n.nspname = $1`, schema, role).Scan(&there, &mighty)
	switch {
	case err != nil:
		return false, err
	case mighty:
		return false, ErrRoleOwner
	case there:
		return false, nil
	}
	// Another one that prepares may be first.
	_, err = db.ExecContext(ctx, `DO $$ BEGIN CREATE ROLE `+pgx.Identifier{role}.Sanitize()+` LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
	if err != nil {
		return false, fmt.Errorf("make role %s: %w", role, err)
	}
	return true, nil
}

// Rights are what a role may do with the rows of one table beside reading them.
type Rights struct {
	Insert, Delete bool
	Update         []string // columns; "*" stands for all of them
}

// SetRights gives a role of the vault the use of a schema, whose tables it may read, and
// in each table the rights that the map names, by the table's bare name; whatever else it
// had there it loses. A table of the schema that the map does not name may be read only.
// The caller is the schema's owner. Rights are changed all or not at all.
func SetRights(ctx context.Context, db *sqlx.DB, schema, role string, rights map[string]Rights) (err error) {
	if !RoleName(role) || !schemaName.MatchString(schema) {
		return ErrRoleName
	}
	quoted := pgx.Identifier{role}.Sanitize()
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, preparing); err != nil {
		return err
	}
	var tables []string
	if err := tx.SelectContext(ctx, &tables, `SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1`, schema); err != nil {
		return err
	}
	statements := []string{
		`REVOKE ALL ON SCHEMA ` + schema + ` FROM PUBLIC, ` + quoted,
		`REVOKE ALL ON ALL TABLES IN SCHEMA ` + schema + ` FROM PUBLIC, ` + quoted, // those on columns, too
		`REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ` + schema + ` FROM PUBLIC, ` + quoted,
		`GRANT USAGE ON SCHEMA ` + schema + ` TO ` + quoted,
		`GRANT SELECT ON ALL TABLES IN SCHEMA ` + schema + ` TO ` + quoted,
	}
	for _, table := range tables {
		if may := rights[table].words(); len(may) > 0 {
			statements = append(statements, `GRANT `+strings.Join(may, ", ")+` ON `+pgx.Identifier{schema, table}.Sanitize()+` TO `+quoted)
		}
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("rights of role %s: %w", role, err)
		}
	}
	return tx.Commit()
}

// words returns the rights as a GRANT names them.
func (r Rights) words() (all []string) {
	if r.Insert {
		all = append(all, "INSERT")
	}
	if r.Delete {
		all = append(all, "DELETE")
	}
	switch {
	case slices.Contains(r.Update, "*"):
		all = append(all, "UPDATE")
	case len(r.Update) > 0:
		columns := make([]string, len(r.Update))
		for i, c := range r.Update {
			columns[i] = pgx.Identifier{c}.Sanitize()
		}
		all = append(all, "UPDATE ("+strings.Join(columns, ", ")+")")
	}
	return all
}

// LetCreate lets a role make schemas of its own in this database, as read models and
// reactors do, and connect to it. It reports false, and changes nothing, where the caller
// may not say so because the database is another's.
func LetCreate(ctx context.Context, db *sqlx.DB, role string) (may bool, err error) {
	var database string
	err = db.QueryRowContext(ctx, `SELECT datname, pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()`).Scan(&database, &may)
	if err != nil || !may {
		return false, err
	}
	if _, err := db.ExecContext(ctx, `GRANT CONNECT, CREATE ON DATABASE `+pgx.Identifier{database}.Sanitize()+` TO `+pgx.Identifier{role}.Sanitize()); err != nil {
		return false, fmt.Errorf("rights of role %s: %w", role, err)
	}
	return true, nil
}

// Owns reports whether the role of the connection may do whatever the owner of the schema
// may, so that nothing in it is refused. A schema that is not there is nobody's.
func Owns(ctx context.Context, q sqlx.QueryerContext, schema string) (owns bool, err error) {
	err = sqlx.GetContext(ctx, q, &owns, `SELECT pg_has_role(nspowner, 'MEMBER') FROM pg_namespace WHERE nspname = $1`, schema)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return owns, err
}

// HandOver makes a role the owner of a schema and of its tables, as if it had made them, where they
// are there and the role of the connection owns them; that one goes on to have the rights of the
// new owner. It is for what a restore made in the place of the role that serves, which may create
// schemas in the database.
func HandOver(ctx context.Context, db *sqlx.DB, schema, role string) (err error) {
	if !RoleName(role) || !schemaName.MatchString(schema) {
		return ErrRoleName
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	var mine bool
	if err := tx.GetContext(ctx, &mine, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) = current_user AND current_user <> $2)`, schema, role); err != nil || !mine {
		return err
	}
	tables, err := Tables(ctx, tx, schema)
	if err != nil {
		return err
	}
	quoted := pgx.Identifier{role}.Sanitize()
	statements := []string{`GRANT ` + quoted + ` TO CURRENT_USER`, `ALTER SCHEMA ` + schema + ` OWNER TO ` + quoted}
	for _, table := range tables {
		statements = append(statements, `ALTER TABLE `+table+` OWNER TO `+quoted)
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("give schema %s to role %s: %w", schema, role, err)
		}
	}
	return tx.Commit()
}
