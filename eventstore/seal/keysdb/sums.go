package keysdb

import (
	"cmp"
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore/postgres/pgdb"
)

// sumsTable has one row: how many rows each table has and what they add up to, sealed as
// one. Nobody sees a sum move, so nobody learns what a row adds to it. That a table stands
// in it says that all its rows carry a MAC: rows without are damaged, not old.
const sumsTable = "row_sums"

var sumsTables = []string{`CREATE TABLE row_sums (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;`}

// MigrateSums makes the table of the sums, or brings it up to date.
func (db *DB) MigrateSums(ctx context.Context) error { return db.Migrate(ctx, "sums", sumsTables) }

// element is what one row adds to a sum.
type element [macSize]byte

// sum of the rows of one table.
type sum struct {
	rows int64
	of   element // the elements of the rows, by exclusive or
}

func (s *sum) add(sign int64, e element) {
	s.rows += sign
	subtle.XORBytes(s.of[:], s.of[:], e[:])
}

// sums of a database, as they are sealed: each table's name after its length in a byte, 1
// when all its rows carry a MAC, the number of rows (big-endian) and the sum.
type sums map[string]*tableSum

type tableSum struct {
	sum
	whole bool // all rows carry a MAC
}

func (s sums) of(table string) *tableSum {
	if s[table] == nil {
		s[table] = &tableSum{}
	}
	return s[table]
}

func (s sums) encode() (b []byte) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		t := s[name]
		b = append(append(b, byte(len(name))), name...)
		whole := byte(0)
		if t.whole {
			whole = 1
		}
		b = binary.BigEndian.AppendUint64(append(b, whole), uint64(t.rows))
		b = append(b, t.of[:]...)
	}
	return b
}

func decodeSums(b []byte) (sums, error) {
	s := sums{}
	for len(b) > 0 {
		name := int(b[0])
		if len(b) < 1+name+1+8+macSize {
			return nil, errSums
		}
		t := s.of(string(b[1 : 1+name]))
		b = b[1+name:]
		t.whole, t.rows = b[0] == 1, int64(binary.BigEndian.Uint64(b[1:]))
		copy(t.sum.of[:], b[9:])
		b = b[9+macSize:]
	}
	return s, nil
}

const readSums = `SELECT sealed FROM ` + sumsTable + ` WHERE id = 1`

// openStored opens what readSums found, with its error; nil when there is none yet.
func (db *DB) openStored(sealed []byte, err error) (sums, error) {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	g := db.keys()
	if g == nil {
		return nil, errNoGuard
	}
	b, err := g.openSums(sealed)
	if err != nil {
		return nil, err
	}
	return decodeSums(b)
}

func (tx *Tx) sums() (sums, error) {
	var sealed []byte
	err := tx.Row(readSums, nil, &sealed)
	return tx.db.openStored(sealed, err)
}

func (tx *Tx) storeSums(s sums) error {
	g := tx.db.keys()
	if g == nil {
		return errNoGuard
	}
	sealed, err := g.sealSums(s.encode())
	if err == nil {
		_, err = tx.Exec(`INSERT INTO `+sumsTable+` (id, sealed) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`, sealed)
	}
	return err
}

// count notes that a row came (1) or went (-1); settle adds it up.
func (tx *Tx) count(t *Table, sign int64, e element) {
	if t.Uncounted {
		return
	}
	if tx.counted == nil {
		tx.counted = map[string]*sum{}
	}
	if tx.counted[t.Name] == nil {
		tx.counted[t.Name] = &sum{}
	}
	tx.counted[t.Name].add(sign, e)
}

// settle moves the sums by what the transaction changed, before it is committed. Sums
// that are damaged stay so: they name rows for an operator, and must stop nobody.
func (tx *Tx) settle() error {
	if len(tx.counted) == 0 {
		return nil
	}
	all, err := tx.sums()
	if errors.Is(err, ErrDamaged) || err == nil && all == nil { // absent: a walk says so
		return nil
	} else if err != nil {
		return err
	}
	for name, moved := range tx.counted {
		s := all.of(name)
		s.add(moved.rows, moved.of)
	}
	return tx.storeSums(all)
}

// Check reads every row of the tables, or of all that are protected when none is named, as of one
// moment, and returns the damaged ones: those whose MAC does not fit, and a Damage without a
// Row for a table that lacks rows or holds older ones. What it finds is what [DB.Damaged] of
// these tables returns from then on. While it reads, Scrub fails.
func (db *DB) Check(ctx context.Context, tables ...*Table) (found []Damage, err error) {
	db.rows.mu.Lock()
	if len(tables) == 0 {
		tables = slices.Clone(db.rows.tables)
	}
	db.rows.walk = map[Damage]bool{}
	db.rows.mu.Unlock()
	defer func() {
		db.rows.mu.Lock()
		defer db.rows.mu.Unlock()
		if err == nil {
			maps.DeleteFunc(db.rows.damaged, func(d Damage, _ bool) bool {
				mine := slices.ContainsFunc(tables, func(t *Table) bool { return t.Name == d.Table }) || d.Table == sumsTable
				return mine && !db.rows.walk[d]
			})
		}
		db.rows.walk = nil
	}()
	conn, err := db.reads.db.Connx(ctx)
	if err != nil {
		return nil, err
	}
	err = db.engine.unbounded(ctx, conn, func() error {
		tx, err := conn.BeginTxx(ctx, db.engine.snapshot())
		if err != nil {
			return err
		}
		found, err = db.check(ctx, tx, tables)
		return errors.Join(err, tx.Rollback())
	})
	if err = errors.Join(err, conn.Close()); err != nil {
		return nil, fmt.Errorf("verify the key database: %w", err)
	}
	return found, nil
}

func (db *DB) check(ctx context.Context, tx *sqlx.Tx, tables []*Table) (found []Damage, err error) {
	var sealed []byte
	err = tx.QueryRowxContext(ctx, readSums).Scan(&sealed)
	stored, err := db.openStored(sealed, err)
	if errors.Is(err, ErrDamaged) || err == nil && stored == nil {
		_ = db.note(errSums)
		found = append(found, errSums)
	} else if err != nil {
		return nil, err
	}
	g := db.keys()
	for _, t := range tables {
		var counted sum
		var either []element // of each damaged row: what tells its MAC as stored from the one that would fit
		rows, err := tx.QueryxContext(ctx, `SELECT `+t.Of("")+` FROM `+t.Name)
		if err != nil {
			return nil, err
		}
		err = scanEach(rows, t.width(), func(row []any) error {
			e := t.entry(row)
			if !g.fits(e) {
				found = append(found, e.damage())
				_ = db.note(e.damage())
				if !t.Uncounted {
					either = append(either, g.hit(e))
				}
			}
			counted.rows++
			if e.mac != nil && !t.Uncounted {
				counted.add(0, g.element(t, e.mac))
			}
			return nil
		})
		if err := errors.Join(err, rows.Close()); err != nil {
			return nil, err
		}
		if stored == nil || t.Uncounted {
			continue
		}
		if want := stored.of(t.Name).sum; counted.rows != want.rows || !reaches(counted.of, want.of, either) {
			d := Damage{Table: t.Name}
			found = append(found, d)
			_ = db.note(d)
		}
	}
	slices.SortFunc(found, func(a, b Damage) int { return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Row, b.Row)) })
	return found, nil
}

// hit is what a damaged row has moved the sum by if its MAC was hit and nothing else.
func (g *guard) hit(e *Entry) element {
	moved := sum{of: g.element(e.table, g.mac(e.table, e.values))}
	if e.mac != nil {
		moved.add(0, g.element(e.table, e.mac))
	}
	return moved.of
}

// maxHit bounds the damaged rows of a table of which each may have lost its MAC.
const maxHit = 12

// reaches reports whether rows add up to what they should, if of the damaged ones some lost
// nothing but their MAC. A damaged row in the place of one that is gone does not: it must not
// hide that. Of many damaged ones whose MACs were hit nobody knows.
func reaches(have, want element, either []element) bool {
	if have == want {
		return true
	}
	if len(either) == 0 || len(either) > maxHit {
		return false
	}
	with := sum{of: have}
	with.add(0, either[0])
	return reaches(have, want, either[1:]) || reaches(with.of, want, either[1:])
}

// Guard sets the keys that the rows' MACs are computed under; nil takes them away. From now on
// every row that is read is verified.
func (db *DB) Guard(keys *RowKeys) {
	var g *guard
	if keys != nil {
		g = newGuard(*keys)
	}
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	db.rows.guard = g
}

// Clear removes all rows of a table, the damaged ones too, and has its sum say so: for a table
// that is made anew of what others hold.
func (tx *Tx) Clear(t *Table) error {
	if _, err := tx.Exec(`DELETE FROM ` + t.Name); err != nil {
		return err
	}
	if err := tx.settle(); err != nil {
		return err
	}
	tx.counted = nil
	all, err := tx.sums()
	if errors.Is(err, ErrDamaged) || err == nil && all == nil {
		return nil
	} else if err != nil {
		return err
	}
	all.of(t.Name).sum = sum{}
	return tx.storeSums(all)
}

// Rows reach the state in which each has its MAC in one of three ways, and the sums say
// for each table that it did: a new database in the transaction that makes its key
// ([Tx.Establish]); one whose rows never had any in batches ([DB.ProtectFormer]); and a
// table that came later ([DB.Protect]). In a database whose sums are gone or damaged no row
// gets a MAC: what has none there is damaged.

// protectRows is how many rows get their MAC in one transaction.
const protectRows = 1000

// Establish gives MACs to the rows of a new database.
func (tx *Tx) Establish(tables []*Table) error {
	if err := tx.storeSums(sums{}); err != nil {
		return err
	}
	for _, t := range tables {
		if _, _, err := tx.protectSome(t, nil, protectRows); err != nil {
			return err
		}
	}
	return tx.protected(tables)
}

// protected keeps that every row of the tables carries a MAC.
func (tx *Tx) protected(tables []*Table) error {
	if err := tx.settle(); err != nil {
		return err
	}
	tx.counted = nil
	all, err := tx.sums()
	if err != nil {
		return err
	}
	for _, t := range tables {
		all.of(t.Name).whole = true
	}
	return tx.storeSums(all)
}

// ProtectFormer gives MACs to the rows of a database from before rows had any, a thousand
// at a time; stopped, it goes on at the next call. ending runs in the transaction that says
// that it has ended.
func (db *DB) ProtectFormer(ctx context.Context, tables []*Table, ending func(*Tx) error) error {
	_, err := Do(ctx, db, func(tx *Tx) (struct{}, error) {
		all, err := tx.sums()
		if err == nil && all == nil {
			err = tx.storeSums(sums{})
		}
		return struct{}{}, err
	})
	if err == nil {
		err = db.protect(ctx, tables, ending)
	}
	if err != nil {
		return protecting(err)
	}
	db.register(tables)
	return nil
}

// Protect has the rows of tables verified, and gives them MACs once where they have none
// yet, as ProtectFormer does, if the sums say that those of after have: nil for whatever
// they say.
func (db *DB) Protect(ctx context.Context, tables []*Table, after *Table) error {
	pending, err := Do(ctx, db, func(tx *Tx) ([]*Table, error) {
		all, err := tx.sums()
		switch {
		case errors.Is(err, ErrDamaged), err == nil && all == nil, err == nil && after != nil && !all.whole(after):
			_ = db.note(errSums)
			return nil, nil
		}
		return all.pending(tables), err
	})
	if err == nil && len(pending) > 0 {
		err = db.protect(ctx, pending, nil)
	}
	if err != nil {
		return protecting(err)
	}
	db.register(tables)
	return nil
}

// ErrMayNotProtect: the role of the address may not write the MACs of rows from before.
var ErrMayNotProtect = errors.New("keysdb: the rows of the key database carry no MACs yet, and this process's role may not write them: start coffre rotator once, or the owner's vault")

func protecting(err error) error {
	if pgdb.NotAllowed(err) {
		return fmt.Errorf("%w: %w", ErrMayNotProtect, err)
	}
	return fmt.Errorf("protect rows: %w", err)
}

func (db *DB) register(tables []*Table) {
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	for _, t := range tables {
		if !slices.Contains(db.rows.tables, t) {
			db.rows.tables = append(db.rows.tables, t)
		}
	}
}

func (s sums) whole(t *Table) bool { return s[t.Name] != nil && s[t.Name].whole }

// pending returns the tables that may have rows without a MAC.
func (s sums) pending(tables []*Table) []*Table {
	return slices.DeleteFunc(slices.Clone(tables), s.whole)
}

// protect gives MACs to the rows of tables that never had any.
func (db *DB) protect(ctx context.Context, tables []*Table, ending func(*Tx) error) error {
	after := map[*Table]any{} // the last row that was done
	for ended := false; !ended; {
		var err error
		ended, err = Do(ctx, db, func(tx *Tx) (bool, error) {
			all, err := tx.sums()
			if err != nil {
				return false, err
			}
			pending := all.pending(tables)
			if len(pending) == 0 { // another process ended it
				return true, nil
			}
			n := 0
			for _, t := range pending {
				done, last, err := tx.protectSome(t, after[t], protectRows-n)
				if err != nil {
					return false, err
				}
				n, after[t] = n+done, last
			}
			if n == protectRows {
				return false, nil
			}
			if ending != nil {
				if err := ending(tx); err != nil {
					return false, err
				}
			}
			return true, tx.protected(pending)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// protectSome gives a MAC to at most limit rows, and returns how many and the last of them.
func (tx *Tx) protectSome(t *Table, after any, limit int) (int, any, error) {
	order := t.Number
	if order == "" {
		order = t.Key[0]
	}
	where, args := `mac IS NULL`, []any(nil)
	if after != nil {
		where, args = where+` AND `+order+` >= ?`, append(args, after)
	}
	rows, err := tx.Unverified(t, where+` ORDER BY `+order+` LIMIT ?`, append(args, limit)...)
	if err != nil {
		return 0, after, err
	}
	for _, e := range rows {
		after = e.number
		if t.Number == "" {
			after = e.values[t.column(order)]
		}
		if err := tx.bless(e); err != nil {
			return 0, after, err
		}
	}
	return len(rows), after, nil
}

// bless gives a row the MAC of what it holds.
func (tx *Tx) bless(e *Entry) error {
	g := tx.db.keys()
	mac := g.mac(e.table, e.values)
	where, key := e.finder()
	if _, err := tx.Exec(`UPDATE `+e.table.Name+` SET mac = ? WHERE `+where, append([]any{mac}, key...)...); err != nil {
		return err
	}
	tx.count(e.table, 1, g.element(e.table, mac))
	return nil
}
