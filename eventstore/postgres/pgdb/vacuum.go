package pgdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// ErrSeen: a session still reads an older state of the database, so that what
// was deleted since cannot be removed yet.
var ErrSeen = errors.New("pgdb: a session still sees what was deleted")

const vacuumPoll = 20 * time.Millisecond

// Vacuum removes rows that were deleted or overwritten from the tables of the
// schema, once no session that this role may see looks at an older state; it waits
// for that until patience is over and then returns ErrSeen. The role owns the
// tables.
//
// Free space inside a page, the write-ahead log (pg_wal), its archives and replicas keep the
// bytes until they are written over: Vacuum cannot reach these, so no destruction relies on
// it. A wrapped key from there needs the key that wrapped it, which is destroyed for that
// reason (docs/keys.md, "When a destruction is final"); keyed digests stay comparable for
// whoever has their key, until the last copy is gone.
func Vacuum(ctx context.Context, db *sqlx.DB, schema string, patience time.Duration) error {
	if !schemaName.MatchString(schema) {
		return ErrName
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	defer conn.Close()
	if err := unseen(ctx, conn, patience); err != nil {
		return err
	}
	tables, err := Tables(ctx, conn, schema)
	if err != nil || len(tables) == 0 {
		return err
	}
	err = Unbounded(ctx, conn, func() error {
		_, err := conn.ExecContext(ctx, `VACUUM `+strings.Join(tables, ", "))
		return err
	})
	if err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// Unbounded runs f, whose statements on conn may take as long as ctx allows: a table of
// millions takes longer than a statement may elsewhere.
func Unbounded(ctx context.Context, conn *sqlx.Conn, f func() error) error {
	if _, err := conn.ExecContext(ctx, `SET statement_timeout = 0`); err != nil {
		return err
	}
	err := f()
	_, back := conn.ExecContext(context.WithoutCancel(ctx), `SET statement_timeout = `+millis(statementTimeout))
	return errors.Join(err, back)
}

// Tables returns the names of the schema's tables, each with the schema's, quoted.
func Tables(ctx context.Context, q sqlx.QueryerContext, schema string) ([]string, error) {
	var tables []string
	if err := sqlx.SelectContext(ctx, q, &tables, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1 ORDER BY 1`, schema); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return tables, nil
}

// unseen waits until no client's snapshot is older than now.
func unseen(ctx context.Context, conn *sqlx.Conn, patience time.Duration) error {
	var horizon string
	if err := conn.GetContext(ctx, &horizon, `SELECT pg_current_xact_id()::xid::text`); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	deadline := time.Now().Add(patience)
	for {
		var older int
		err := conn.GetContext(ctx, &older, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend' AND backend_xmin IS NOT NULL AND age(backend_xmin) > age($1::text::xid)`, horizon)
		if err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
		if older == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return ErrSeen
		}
		timer := time.NewTimer(vacuumPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
