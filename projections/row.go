package projections

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore/sqlite/sqlitedb"
)

// directReaders is how many queries of [View.Each] run at a time: two connections
// equal eight on two cores.
const directReaders = 2

// Row is one row of [View.Each]. Its columns count from 0, and what they return
// without copying is valid until the visitor returns.
type Row struct {
	s    *sqlite3.Stmt
	wire [][]byte // of PostgreSQL, in the binary form; nil when s is set
}

// Int64 returns a whole number; 0 for none.
func (r Row) Int64(column int) int64 {
	if r.s != nil {
		return r.s.ColumnInt64(column)
	}
	switch b := r.wire[column]; len(b) {
	case 8:
		return int64(binary.BigEndian.Uint64(b))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

// Bytes returns a BYTEA without copying it; nil for none.
func (r Row) Bytes(column int) []byte {
	if r.s != nil {
		return r.s.ColumnRawBlob(column)
	}
	return r.wire[column]
}

// Text returns a TEXT without copying it; empty for none.
func (r Row) Text(column int) []byte {
	if r.s != nil {
		return r.s.ColumnRawText(column)
	}
	return r.wire[column]
}

// Each calls row for each row of a query, in order, until it returns an error. It is
// for the queries that run most, past database/sql, which would copy every column.
// The text is one of a few constants; args are int64, string, []byte or nil. row must
// be quick: it holds one of few connections.
func (v *View) Each(ctx context.Context, query string, args []any, row func(Row) error) error {
	db, err := v.acquire()
	if err != nil {
		return err
	}
	defer db.users.Done()
	return told(ctx, db.each(ctx, query, args, row))
}

// direct is one connection with its prepared statements; it opens when first used.
type direct struct {
	conn       *sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

func (c *direct) each(ctx context.Context, path, query string, args []any, row func(Row) error) (err error) {
	if c.conn == nil {
		// The connection outlives the call that first needed it.
		c.conn, err = sqlitedb.OpenConn(context.WithoutCancel(ctx), path, sqlitedb.Options{Cache: liveCache}, sqlitedb.Read)
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
		if err := row(Row{s: s}); err != nil {
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
	case string:
		return s.BindText(i, a)
	case []byte:
		return s.BindBlob(i, a)
	case nil:
		return s.BindNull(i)
	}
	return fmt.Errorf("projections: an argument of type %T", arg)
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
