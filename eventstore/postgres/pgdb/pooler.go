package pgdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPooler: what answers at the address is a pooler. Sessions here have settings, locks and
// notifications of their own, which a pooler forgets or gives to somebody else.
var ErrPooler = errors.New("pgdb: a pooler such as PgBouncer answers at this address: give the address of the PostgreSQL server itself, for sessions keep settings and locks of their own")

// badStart is the server's code for a protocol violation, which is how PgBouncer refuses the
// settings that a session begins with.
const badStart = "08P01"

// NamePooler adds ErrPooler to the error of a connection that a pooler refused.
func NamePooler(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == badStart && strings.Contains(said.Message, "startup parameter") {
		return fmt.Errorf("%w: %w", ErrPooler, err)
	}
	return err
}

// keepsSettings returns ErrPooler where the session that answers was begun with other
// settings than asked for: a pooler can be told to drop what it does not know.
func keepsSettings(ctx context.Context, conn *pgconn.PgConn, schema string) error {
	result := conn.ExecParams(ctx, `SELECT current_setting('search_path')`, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if len(result.Rows) != 1 || string(result.Rows[0][0]) != schema {
		return ErrPooler
	}
	return nil
}
