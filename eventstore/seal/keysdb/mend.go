package keysdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mended tells what a mend did.
type Mended struct {
	Found    []Damage // before it
	Restored []Damage // rows that are as they were
	Older    []Damage // rows that are as the copy had them, from before something changed
	Removed  []Damage // rows that the copy lacked and that need not be there
	Left     []Damage // after it
}

// Mend brings damaged and missing rows of db back from copy, a backup of it, and returns
// what it did. Both have their guard, under the same key, and nobody else has db open. A
// row comes back only as the sums of db say that it was. With accept a row comes back as the
// copy had it, too, and what is missing after that counts as gone from then on.
func Mend(ctx context.Context, db, copy *DB, accept bool) (m Mended, err error) {
	if m.Found, err = db.Check(ctx); err != nil {
		return m, err
	}
	stored, err := Do(ctx, db, func(tx *Tx) (sums, error) {
		all, err := tx.sums()
		if errors.Is(err, ErrDamaged) {
			return nil, nil
		}
		return all, err
	})
	if err != nil {
		return m, fmt.Errorf("mend: %w", err)
	}
	for _, t := range db.Tables() {
		if !slices.ContainsFunc(m.Found, func(d Damage) bool { return d.Table == t.Name }) {
			continue
		}
		one := mending{db: db, copy: copy, table: t, accept: accept, done: &m}
		if stored != nil && !t.Uncounted {
			one.want = &stored.of(t.Name).sum
		}
		if err := one.run(ctx); err != nil {
			return m, fmt.Errorf("mend %s: %w", t.Name, err)
		}
	}
	if accept {
		if err := db.recount(ctx); err != nil {
			return m, fmt.Errorf("mend: %w", err)
		}
	}
	m.Left, err = db.Check(ctx)
	return m, err
}

// mending is the mend of one table.
type mending struct {
	db, copy *DB
	table    *Table
	accept   bool
	done     *Mended
	want     *sum // of the rows; nil: nobody knows
	have     sum
}

func (m *mending) run(ctx context.Context) error {
	var damaged []*Entry
	g := m.db.keys()
	if err := m.db.raw(ctx, m.table, ``, nil, func(e *Entry) error {
		m.have.rows++
		if e.mac != nil {
			m.have.add(0, g.element(m.table, e.mac))
		}
		if !g.fits(e) {
			damaged = append(damaged, e)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, e := range damaged {
		if err := m.row(ctx, e); err != nil {
			return err
		}
	}
	if m.want == nil || m.have == *m.want {
		return nil
	}
	return m.missing(ctx)
}

// row brings a damaged row back: as the copy has it with the same MAC, or with the same
// content where the MAC was hit.
func (m *mending) row(ctx context.Context, e *Entry) error {
	where, args := e.finder()
	var same, older *Entry
	if err := m.copy.raw(ctx, m.table, `mac = ? OR (`+where+`)`, append([]any{bytesOrNull(e.mac)}, args...), func(c *Entry) error {
		switch {
		case !m.copy.keys().fits(c):
		case string(c.mac) == string(e.mac), slices.EqualFunc(c.values, e.values, equal):
			same = c
		default:
			older = c
		}
		return nil
	}); err != nil {
		return err
	}
	switch {
	case same != nil:
		m.done.Restored = append(m.done.Restored, same.damage())
		return m.replace(ctx, e, same)
	case older != nil && m.accept:
		m.done.Older = append(m.done.Older, older.damage())
		return m.replace(ctx, e, older)
	case m.table.Uncounted:
		m.done.Removed = append(m.done.Removed, e.damage())
		return m.replace(ctx, e, nil)
	}
	return nil
}

// missing looks in the copy for the rows that the sum lacks: one, all that are not here,
// or an older form of one that was put back.
func (m *mending) missing(ctx context.Context) error {
	g := m.db.keys()
	need := *m.want
	need.add(-m.have.rows, m.have.of)
	var gone []*Entry
	var all sum
	var found *Entry // the one row
	var instead *Entry
	if err := m.copy.raw(ctx, m.table, ``, nil, func(c *Entry) error {
		if !g.fits(c) || found != nil {
			return nil
		}
		one := g.element(m.table, c.mac)
		here, err := m.here(ctx, c)
		switch {
		case err != nil:
			return err
		case here == nil:
			if need.rows == 1 && one == need.of {
				found = c
			}
			gone = append(gone, c)
			all.add(1, one)
		case string(here.mac) != string(c.mac) && here.mac != nil:
			moved := sum{}
			moved.add(0, one)
			moved.add(0, g.element(m.table, here.mac))
			if need == moved {
				found, instead = c, here
			}
		}
		return nil
	}); err != nil {
		return err
	}
	switch {
	case found != nil:
		m.done.Restored = append(m.done.Restored, found.damage())
		return m.replace(ctx, instead, found)
	case all == need:
		for _, c := range gone {
			m.done.Restored = append(m.done.Restored, c.damage())
			if err := m.replace(ctx, nil, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// here returns the row of db that has the key of a row of the copy; nil: none has.
func (m *mending) here(ctx context.Context, c *Entry) (found *Entry, err error) {
	where, args := "", []any{}
	for i, column := range m.table.Key {
		if i > 0 {
			where += " AND "
		}
		where += column + " = ?"
		args = append(args, c.values[m.table.column(column)])
	}
	err = m.db.raw(ctx, m.table, where, args, func(e *Entry) error {
		found = e
		return nil
	})
	return found, err
}

// replace puts the row c, with its MAC and number, in the place of e; each may be nil. What
// holds e is a row number or a key, so a row that took the key of c is refused by the
// database. The sums stay as they are.
func (m *mending) replace(ctx context.Context, e, c *Entry) error {
	g := m.db.keys()
	_, err := Do(ctx, m.db, func(tx *Tx) (struct{}, error) {
		if e != nil {
			where, args := e.finder()
			if _, err := tx.Exec(`DELETE FROM `+m.table.Name+` WHERE `+where, args...); err != nil {
				return struct{}{}, err
			}
		}
		if c == nil {
			return struct{}{}, nil
		}
		columns, values := slices.Clone(m.table.Columns), slices.Clone(c.values)
		if m.table.Number != "" {
			number := c.number
			if e != nil {
				number = e.number
			}
			columns, values = append(columns, m.table.Number), append(values, number)
		}
		columns, values = append(columns, macColumn), append(values, c.mac)
		_, err := tx.Exec(`INSERT INTO `+m.table.Name+` (`+strings.Join(columns, ", ")+`) VALUES (`+strings.Repeat("?, ", len(columns)-1)+`?)`, values...)
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	if e != nil {
		m.have.rows--
		if e.mac != nil {
			m.have.add(0, g.element(m.table, e.mac))
		}
	}
	if c != nil {
		m.have.add(1, g.element(m.table, c.mac))
	}
	return nil
}

// raw calls each for the rows of a table as they are.
func (db *DB) raw(ctx context.Context, t *Table, where string, args []any, each func(*Entry) error) error {
	query := `SELECT ` + t.Of("") + ` FROM ` + t.Name
	if where != "" {
		query += ` WHERE ` + where
	}
	return db.engine.rows(ctx, db, query, args, t.width(), func(row []any) error { return each(t.entry(row)) })
}

// recount has the sums say what is there: rows that are missing count as gone from now on.
func (db *DB) recount(ctx context.Context) error {
	g := db.keys()
	all := sums{}
	for _, t := range db.Tables() {
		all.of(t.Name).whole = true
		if t.Uncounted {
			continue
		}
		if err := db.raw(ctx, t, ``, nil, func(e *Entry) error {
			var one element
			if e.mac != nil {
				one = g.element(t, e.mac)
			}
			all.of(t.Name).add(1, one)
			return nil
		}); err != nil {
			return err
		}
	}
	_, err := Do(ctx, db, func(tx *Tx) (struct{}, error) { return struct{}{}, tx.storeSums(all) })
	return err
}
