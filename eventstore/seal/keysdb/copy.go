package keysdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Errors of a copy.
var (
	// ErrInUse: a copy needs a database that nothing was kept in, or one that a copy
	// before it did not finish.
	ErrInUse = errors.New("keysdb: the database is in use already; a copy needs an empty one")
	// ErrUnfinished: a copy into the database was not finished, so what it holds is not
	// all there is.
	ErrUnfinished = errors.New("keysdb: a copy into this database was not finished")
	// ErrSteps: the two databases do not have the same tables.
	ErrSteps = errors.New("keysdb: the databases are of different versions")
)

// copying is the mark of a copy under way: the table is there until it is finished.
const copying = "copying"

// Row is one row of a table, by column. A value is nil, an int64, a string or a []byte.
type Row map[string]any

// Change returns the rows of a table, at least one, as they are to be in the target of
// a copy. It may keep and change them.
type Change func(ctx context.Context, table string, rows []Row) ([]Row, error)

// Rows of a copy. They lie at random in the indexes of the target, so a transaction of few
// rows writes nearly a page for each of them.
const (
	copyRows     = 1000      // read and changed at once
	copyStep     = 20        // share a statement
	copyTogether = 64 * 1000 // written in one transaction, or as many as hold copyBytes
	copyBytes    = 16 << 20
)

// Unfinished reports whether a copy into the database was begun and not finished.
func (db *DB) Unfinished(ctx context.Context) (bool, error) {
	tables, err := db.tables(ctx)
	return slices.Contains(tables, copying), err
}

// Has reports whether a table of that name was made.
func (db *DB) Has(ctx context.Context, table string) (bool, error) {
	tables, err := db.tables(ctx)
	return slices.Contains(tables, table), err
}

// BeginCopy marks an empty database as the target of a copy, or takes up one that
// was marked before. Whoever opens it until [DB.EndCopy] finds it [DB.Unfinished].
// It returns ErrInUse for a database that holds something else. Then the caller
// migrates it as it does every database of the kind.
func (db *DB) BeginCopy(ctx context.Context) error {
	tables, err := db.tables(ctx)
	switch {
	case err != nil:
		return err
	case slices.Contains(tables, copying):
		return nil
	case len(tables) > 0:
		return ErrInUse
	}
	_, err = Do(ctx, db, func(tx *Tx) (int64, error) {
		return tx.Exec(`CREATE TABLE IF NOT EXISTS copying (id INTEGER PRIMARY KEY)`)
	})
	return err
}

// EndCopy takes the mark away: all there is has been brought.
func (db *DB) EndCopy(ctx context.Context) error {
	_, err := Do(ctx, db, func(tx *Tx) (int64, error) { return tx.Exec(`DROP TABLE copying`) })
	return err
}

// Copy brings every row of from into to, which BeginCopy has marked, after it
// removed what a copy before it may have left there. Rows of a source without [DB.Guard] are not
// verified, and come with their MACs and sums as they are. It returns ErrUnfinished
// for a source that a copy did not finish. change, if not nil, returns the
// rows of a table as they are to be in the target; progress, if not nil, is told how many of
// how many rows are there. Nothing may change either database meanwhile. Stopped, it is
// begun again from the start.
func Copy(ctx context.Context, from, to *DB, change Change, progress func(done, total int64)) error {
	if marked, err := to.Unfinished(ctx); err != nil {
		return fmt.Errorf("copy keys: %w", err)
	} else if !marked {
		return fmt.Errorf("copy keys: %w", ErrInUse)
	}
	if half, err := from.Unfinished(ctx); err != nil {
		return fmt.Errorf("copy keys: %w", err)
	} else if half { // its end would be taken for the end of all keys
		return fmt.Errorf("copy keys: the source: %w", ErrUnfinished)
	}
	if err := errors.Join(sameSteps(ctx, from, to), to.engine.bulk(ctx)); err != nil {
		return fmt.Errorf("copy keys: %w", err)
	}
	tables, err := from.contents(ctx)
	if err != nil {
		return fmt.Errorf("copy keys: %w", err)
	}
	c := copier{from: from, to: to, change: change, progress: progress, sums: sums{}}
	for _, table := range tables {
		n, err := from.count(ctx, table)
		if err != nil {
			return fmt.Errorf("copy keys: %w", err)
		}
		c.total += n
	}
	for _, table := range tables {
		if err := c.table(ctx, table); err != nil {
			return fmt.Errorf("copy keys: table %s: %w", table, err)
		}
	}
	if err := c.storeSums(ctx); err != nil {
		return fmt.Errorf("copy keys: %w", err)
	}
	if err := to.Scrub(ctx); err != nil {
		return fmt.Errorf("copy keys: %w", err)
	}
	return nil
}

type copier struct {
	from, to    *DB
	change      Change
	progress    func(done, total int64)
	done, total int64
	sums        sums  // of what was written
	waiting     []Row // of the table under way, for the next transaction
	bytes       int   // of them
	read        int64 // of the source since the last transaction
}

// storeSums has the target's rows protected as the source's are: under the same key.
func (c *copier) storeSums(ctx context.Context) error {
	g := c.from.keys()
	if g == nil {
		return nil
	}
	c.from.rows.mu.Lock()
	for _, t := range c.from.rows.tables {
		c.sums.of(t.Name).whole = true
	}
	c.from.rows.mu.Unlock()
	c.to.rows.mu.Lock()
	c.to.rows.guard = g
	c.to.rows.mu.Unlock()
	_, err := Do(ctx, c.to, func(tx *Tx) (struct{}, error) { return struct{}{}, tx.storeSums(c.sums) })
	return err
}

// protected returns the table if the source's rows of it carry MACs.
func (c *copier) protected(name string) *Table {
	c.from.rows.mu.Lock()
	defer c.from.rows.mu.Unlock()
	for _, t := range c.from.rows.tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// entryOf returns a row of a copy.
func entryOf(t *Table, row Row) *Entry {
	e := &Entry{table: t, values: make([]any, len(t.Columns))}
	for i, column := range t.Columns {
		e.values[i] = row[column]
	}
	e.number, _ = row[t.Number].(int64)
	e.mac, _ = row[macColumn].([]byte)
	return e
}

// table copies the rows of one table, with their numbers.
func (c *copier) table(ctx context.Context, name string) error {
	if _, err := Do(ctx, c.to, func(tx *Tx) (int64, error) { return tx.Exec(`DELETE FROM ` + name) }); err != nil {
		return err
	}
	conn, err := c.from.reads.db.Connx(ctx)
	if err != nil {
		return err
	}
	// One statement reads it all, and lasts as long as the target takes to write it.
	err = c.from.engine.unbounded(ctx, conn, func() error { return c.rows(ctx, conn, name) })
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	return c.to.engine.renumber(ctx, name)
}

// rows reads a table's rows on conn and writes them to the target.
func (c *copier) rows(ctx context.Context, conn *sqlx.Conn, name string) error {
	rows, err := conn.QueryxContext(ctx, `SELECT * FROM `+name)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	batch := make([]Row, 0, copyRows)
	for rows.Next() {
		row := make(Row, len(columns))
		if err := rows.MapScan(row); err != nil {
			return err
		}
		if batch = append(batch, row); len(batch) == copyRows {
			if err := c.write(ctx, name, columns, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if err := c.write(ctx, name, columns, batch); err != nil {
		return err
	}
	return c.flush(ctx, name, columns)
}

// write changes rows of the source and puts them with those that wait for a transaction.
func (c *copier) write(ctx context.Context, table string, columns []string, rows []Row) (err error) {
	if len(rows) == 0 {
		return nil
	}
	c.read += int64(len(rows))
	t := c.protected(table)
	if t != nil {
		for _, row := range rows { // a damaged row must not come out whole
			if err := c.from.verify(entryOf(t, row)); err != nil {
				return err
			}
		}
	}
	if c.change != nil {
		if rows, err = c.change(ctx, table, rows); err != nil {
			return err
		}
	}
	if t != nil {
		g := c.from.keys()
		for _, row := range rows {
			mac := g.mac(t, entryOf(t, row).values)
			row[macColumn] = mac
			if !t.Uncounted {
				c.sums.of(t.Name).add(1, g.element(t, mac))
			}
		}
	}
	for _, row := range rows {
		c.bytes += size(row)
	}
	if c.waiting = append(c.waiting, rows...); len(c.waiting) < copyTogether && c.bytes < copyBytes {
		return nil
	}
	return c.flush(ctx, table, columns)
}

// size returns the bytes of a row's texts and blobs.
func size(row Row) (n int) {
	for _, v := range row {
		switch v := v.(type) {
		case []byte:
			n += len(v)
		case string:
			n += len(v)
		}
	}
	return n
}

// flush writes the rows that wait.
func (c *copier) flush(ctx context.Context, table string, columns []string) error {
	if c.read == 0 {
		return nil
	}
	one := "(" + strings.Repeat("?, ", len(columns)-1) + "?)"
	insert := func(n int) string {
		return `INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) VALUES ` + strings.Repeat(one+", ", n-1) + one
	}
	_, err := Do(ctx, c.to, func(tx *Tx) (struct{}, error) {
		for rest := range slices.Chunk(c.waiting, copyStep) {
			groups := [][]Row{rest}
			if len(rest) < copyStep { // one by one, so that few statements are prepared
				groups = slices.Collect(slices.Chunk(rest, 1))
			}
			for _, group := range groups {
				args := make([]any, 0, len(group)*len(columns))
				for _, row := range group {
					for _, column := range columns {
						args = append(args, row[column])
					}
				}
				if _, err := tx.Exec(insert(len(group)), args...); err != nil {
					return struct{}{}, err
				}
			}
		}
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	clear(c.waiting)
	c.waiting, c.bytes, c.done, c.read = c.waiting[:0], 0, c.done+c.read, 0
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	return nil
}

// tables lists what is in the database.
func (db *DB) tables(ctx context.Context) (names []string, err error) {
	err = db.writes.db.SelectContext(ctx, &names, db.engine.tables())
	return names, err
}

// contents lists the tables but for those about the database itself.
func (db *DB) contents(ctx context.Context) ([]string, error) {
	names, err := db.tables(ctx)
	return slices.DeleteFunc(names, func(name string) bool {
		return name == versions || name == copying || name == sumsTable && db.keys() != nil
	}), err
}

func (db *DB) count(ctx context.Context, table string) (n int64, err error) {
	err = db.reads.db.GetContext(ctx, &n, `SELECT count(*) FROM `+table)
	return n, err
}

// sameSteps refuses databases whose components are not at the same step.
func sameSteps(ctx context.Context, from, to *DB) error {
	steps := func(db *DB) (map[string]int, error) {
		var rows []struct {
			Component string
			Version   int
		}
		err := db.writes.db.SelectContext(ctx, &rows, `SELECT component, version FROM schema_versions`)
		all := make(map[string]int, len(rows))
		for _, row := range rows {
			all[row.Component] = row.Version
		}
		return all, err
	}
	a, err := steps(from)
	if err != nil {
		return err
	}
	b, err := steps(to)
	if err != nil {
		return err
	}
	for component, version := range a {
		if b[component] != version {
			return fmt.Errorf("%w: %s", ErrSteps, component)
		}
	}
	return nil
}
