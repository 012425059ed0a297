package sqlitemodels

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
)

// directReaders is how many queries of Each run at a time: two connections equal
// eight on two cores.
const directReaders = 2

// direct is one connection with its prepared statements; it opens when first used.
type direct struct {
	conn       *sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

// row is a step of a statement.
type row struct{ s *sqlite3.Stmt }

func (r row) Int64(column int) int64  { return r.s.ColumnInt64(column) }
func (r row) Bytes(column int) []byte { return r.s.ColumnRawBlob(column) }
func (r row) Text(column int) []byte  { return r.s.ColumnRawText(column) }

// Each implements projections.Tables.
func (f *file) Each(ctx context.Context, query string, args []any, visit func(projections.Row) error) error {
	select {
	case c := <-f.direct:
		defer func() { f.direct <- c }()
		return c.each(ctx, f.path, query, args, visit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *direct) each(ctx context.Context, path, query string, args []any, visit func(projections.Row) error) (err error) {
	if c.conn == nil {
		// The connection outlives the call that first needed it.
		c.conn, err = sqlitedb.OpenConn(context.WithoutCancel(ctx), path, sqlitedb.Options{Cache: liveCache, Verified: true}, sqlitedb.Read)
		if err != nil {
			return err
		}
		c.statements = map[string]*sqlite3.Stmt{}
	}
	defer c.conn.SetInterrupt(c.conn.SetInterrupt(ctx))
	s := c.statements[query]
	if s == nil {
		if s, _, err = c.conn.Prepare(query); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		c.statements[query] = s
	}
	defer func() { err = errors.Join(err, s.Reset()) }()
	for i, arg := range args {
		if err := bind(s, i+1, arg); err != nil {
			return err
		}
	}
	for s.Step() {
		if err := visit(row{s}); err != nil {
			return err
		}
	}
	if s.Err() != nil && ctx.Err() != nil {
		return ctx.Err() // the driver tells it in words of its own
	}
	return s.Err()
}

func bind(s *sqlite3.Stmt, i int, arg any) error {
	switch a := arg.(type) {
	case int64:
		return s.BindInt64(i, a)
	case int:
		return s.BindInt64(i, int64(a))
	case bool:
		return s.BindBool(i, a)
	case string:
		return s.BindText(i, a)
	case []byte:
		return s.BindBlob(i, a)
	case nil:
		return s.BindNull(i)
	}
	// A type of the program's own that is one of these beneath.
	switch a, _ := driver.DefaultParameterConverter.ConvertValue(arg); a.(type) {
	case int64, string, []byte, bool:
		return bind(s, i, a)
	}
	return fmt.Errorf("sqlitemodels: an argument of type %T", arg)
}

func (c *direct) close() error {
	if c.conn == nil {
		return nil
	}
	var all error
	for _, s := range c.statements {
		all = errors.Join(all, s.Close())
	}
	return errors.Join(all, c.conn.Close())
}
