package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/ncruces/go-sqlite3"
)

// directReaders is how many queries of a Direct run at a time: two connections equal
// eight on two cores.
const directReaders = 2

// Direct reads a database through connections of the driver itself, for the queries that run
// most: database/sql would copy every column, and take longer than a short query. Its methods
// may be called concurrently.
type Direct struct {
	path    string
	options Options
	free    chan *directConn
	closing sync.Once
	closed  chan struct{}
}

// directConn is one connection with its prepared statements; it opens when first used.
type directConn struct {
	conn       *sqlite3.Conn
	statements map[string]directQuery
}

// directQuery is a prepared query, and how many arguments it takes.
type directQuery struct {
	*sqlite3.Stmt
	arguments int
}

// NewDirect returns a Direct of the database at path, which must be there when something is
// read. It opens nothing yet.
func NewDirect(path string, o Options) *Direct {
	d := &Direct{path: path, options: o, free: make(chan *directConn, directReaders), closed: make(chan struct{})}
	for range directReaders {
		d.free <- &directConn{}
	}
	return d
}

// Each calls visit for each row of a query, in order, until it returns an error, which Each then
// returns. The query is one of a few constants, which stay prepared; args are what database/sql
// takes. The row is there until visit returns, which must be quick: it holds one of two
// connections. After Close the error is sqlite3.MISUSE.
func (d *Direct) Each(ctx context.Context, query string, args []any, visit func(row *sqlite3.Stmt) error) error {
	select {
	case c := <-d.free:
		defer func() { d.free <- c }()
		return c.each(ctx, d, query, args, visit)
	case <-d.closed:
		return fmt.Errorf("read a closed database: %w", sqlite3.MISUSE)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for the queries under way and closes the connections. A second Close does nothing.
func (d *Direct) Close() (err error) {
	d.closing.Do(func() {
		close(d.closed)
		for range directReaders {
			err = errors.Join(err, (<-d.free).close())
		}
	})
	return err
}

func (c *directConn) each(ctx context.Context, d *Direct, query string, args []any, visit func(*sqlite3.Stmt) error) (err error) {
	if c.conn == nil {
		// The connection outlives the call that first needed it.
		if c.conn, err = OpenConn(context.WithoutCancel(ctx), d.path, d.options, Read); err != nil {
			return err
		}
		c.statements = map[string]directQuery{}
	}
	defer c.conn.SetInterrupt(c.conn.SetInterrupt(ctx))
	s, prepared := c.statements[query]
	if !prepared {
		if s.Stmt, _, err = c.conn.Prepare(query); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		s.arguments = s.BindCount()
		c.statements[query] = s
	}
	if len(args) != s.arguments { // the others would be those of the call before
		return fmt.Errorf("a query of %d parameters with %d arguments: %w", s.arguments, len(args), sqlite3.MISUSE)
	}
	defer func() {
		if reset := s.Reset(); err == nil { // it tells the error of the last step again
			err = reset
		}
	}()
	for i, arg := range args {
		if err := Bind(s.Stmt, i+1, arg); err != nil {
			return err
		}
	}
	for s.Step() {
		if err := visit(s.Stmt); err != nil {
			return err
		}
	}
	if s.Err() != nil && ctx.Err() != nil {
		return ctx.Err() // the driver tells it in words of its own
	}
	return s.Err()
}

// Bind binds an argument, as database/sql takes it, to the i-th parameter of a statement, from 1.
func Bind(s *sqlite3.Stmt, i int, arg any) error {
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
		return Bind(s, i, a)
	}
	return fmt.Errorf("sqlitedb: an argument of type %T", arg)
}

func (c *directConn) close() error {
	if c.conn == nil {
		return nil
	}
	var all error
	for _, s := range c.statements {
		all = errors.Join(all, s.Close())
	}
	return errors.Join(all, c.conn.Close())
}
