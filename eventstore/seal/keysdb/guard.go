package keysdb

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"

	"coffre/eventstore"
)

// Every row of a [Table] carries a MAC under keys that are derived from a key of
// the deployment ([DB.Guard]). A row whose MAC does not fit is a [Damage] to whoever reads
// it, and nobody changes it: a change reads the row first. Of all rows of a table the
// database keeps a sum, sealed, which moves in the transaction that changes a row, so
// that rows that are gone are noticed by a walk ([DB.Check]).
//
// Until a database has its guard, rows are read as they are and written without a MAC:
// who has no key, as a restore of a copy, can leave nothing that counts afterwards.

// RowKeys are the keys that rows are verified with. Each is used for nothing else, so
// that none of them is known when another is.
type RowKeys struct {
	MAC  [32]byte // of rows
	Sum  [32]byte // what a row adds to the sum of its table
	Seal [32]byte // seals the sums
}

// guard has the keys for rows and sums.
type guard struct {
	rows sync.Pool // of hash.Hash
	keys RowKeys

	elements sync.Map // by the name of a table: cipher.Block
}

func newGuard(keys RowKeys) *guard {
	g := &guard{keys: keys}
	g.rows.New = func() any { return hmac.New(sha256.New, g.keys.MAC[:]) }
	return g
}

var rowBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// mac is the MAC of a row.
func (g *guard) mac(t *Table, values []any) []byte {
	b := rowBuffers.Get().(*[]byte)
	defer rowBuffers.Put(b)
	*b = t.append((*b)[:0], values)
	h := g.rows.Get().(hash.Hash)
	defer g.rows.Put(h)
	h.Reset()
	h.Write(*b)
	return h.Sum(nil)[:macSize]
}

// fits reports whether a row is as it was written.
func (g *guard) fits(e *Entry) bool { return hmac.Equal(e.mac, g.mac(e.table, e.values)) }

// element is what a row adds to the sum of its table: its MAC, enciphered by AES-256 under
// a key of the table's. Nobody without the key can compute one, so nobody can choose rows
// whose elements cancel out.
func (g *guard) element(t *Table, mac []byte) (e element) {
	block, known := g.elements.Load(t.Name)
	if !known {
		h := hmac.New(sha256.New, g.keys.Sum[:])
		h.Write([]byte(t.Name))
		fresh, err := aes.NewCipher(h.Sum(nil))
		if err != nil { // only for a key of another size
			panic(err)
		}
		block, _ = g.elements.LoadOrStore(t.Name, fresh)
	}
	copy(e[:], mac) // of another size only where it was damaged
	block.(cipher.Block).Encrypt(e[:], e[:])
	return e
}

// aead seals what salt stands before, under a key of its own: a nonce is never used twice.
func (g *guard) aead(salt []byte) (cipher.AEAD, error) {
	h := hmac.New(sha256.New, g.keys.Seal[:])
	h.Write(salt)
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

const saltSize = 26 // characters of rand.Text, at least 128 bits

func (g *guard) sealSums(plain []byte) ([]byte, error) {
	salt := []byte(rand.Text())
	aead, err := g.aead(salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(salt, make([]byte, aead.NonceSize()), plain, nil), nil
}

func (g *guard) openSums(sealed []byte) ([]byte, error) {
	if len(sealed) < saltSize {
		return nil, errSums
	}
	aead, err := g.aead(sealed[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed[saltSize:], nil)
	if err != nil {
		return nil, errSums
	}
	return plain, nil
}

var errSums = Damage{sumsTable, "1"}

// guarded is what a DB knows of its tables.
type guarded struct {
	mu      sync.Mutex
	guard   *guard
	tables  []*Table
	damaged map[Damage]bool
	walk    map[Damage]bool // what was found since the walk under way began; nil: there is none
	told    func(Damage)
}

// OnDamage has told called once for each damaged row that is found, now or later, until it
// is whole again.
func (db *DB) OnDamage(told func(Damage)) {
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	db.rows.told = told
	for d := range db.rows.damaged {
		told(d)
	}
}

// Damaged returns the rows that were found damaged, by a walk or by whoever read them, and
// not found whole by a walk since.
func (db *DB) Damaged() []Damage {
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	return slices.SortedFunc(maps.Keys(db.rows.damaged), func(a, b Damage) int {
		return strings.Compare(a.Table+"\x00"+a.Row, b.Table+"\x00"+b.Row)
	})
}

// Tables returns the tables that are protected, in the order in which they came to be.
func (db *DB) Tables() []*Table {
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	return slices.Clone(db.rows.tables)
}

// note remembers a damaged row, and returns it as an error.
func (db *DB) note(d Damage) error {
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	if db.rows.walk != nil {
		db.rows.walk[d] = true
	}
	if db.rows.damaged == nil {
		db.rows.damaged = map[Damage]bool{}
	}
	if !db.rows.damaged[d] {
		db.rows.damaged[d] = true
		if db.rows.told != nil {
			db.rows.told(d)
		}
	}
	return d
}

// keys returns the guard; nil when the database has none yet.
func (db *DB) keys() *guard {
	db.rows.mu.Lock()
	defer db.rows.mu.Unlock()
	return db.rows.guard
}

// verify returns a Damage for a row that is not as it was written.
func (db *DB) verify(e *Entry) error {
	g := db.keys()
	if g == nil || g.fits(e) {
		return nil
	}
	return db.note(e.damage())
}

// Each calls each for the rows of a table under a condition, in the order that it says;
// where may be "". damage is nil, or a Damage for a row that is not as it was written:
// such a row says nothing. An error of each ends the reading, and is returned.
func (db *DB) Each(ctx context.Context, t *Table, where string, args []any, each func(e *Entry, damage error) error) error {
	return db.engine.rows(ctx, db, `SELECT `+t.Of("")+` FROM `+t.Name+condition(where), args, t.width(), func(row []any) error {
		e := t.entry(row)
		return each(e, db.verify(e))
	})
}

func condition(where string) string {
	if where == "" || strings.HasPrefix(where, "ORDER ") {
		return ` ` + where
	}
	return ` WHERE ` + where
}

// EachRow calls each for every row of a read-only query, as it is.
func (db *DB) EachRow(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	return db.query(ctx, query, args, func(rows *sqlx.Rows) error {
		for rows.Next() {
			if err := each(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// query calls read with the rows of a read-only query.
func (db *DB) query(ctx context.Context, query string, args []any, read func(*sqlx.Rows) error) error {
	s, err := db.Read(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryxContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return read(rows)
}

// Entry returns the first row of a table under a condition; nil when there is none. Its
// error is a Damage for a row that is not as it was written.
func (db *DB) Entry(ctx context.Context, t *Table, where string, args ...any) (found *Entry, err error) {
	err = db.Each(ctx, t, where, args, func(e *Entry, damage error) error {
		if damage != nil {
			return damage
		}
		found = e
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

var errEnough = errors.New("enough")

// Joined calls each for every row of a query over several tables, whose list is
// [Table.Of] of each of them, in this order. An entry is nil where an outer join found no
// row, which takes as long. The error is a Damage as soon as one entry is not as it was
// written.
func (db *DB) Joined(ctx context.Context, query string, args []any, tables []*Table, each func([]*Entry) error) error {
	return db.EachJoined(ctx, query, args, tables, func(rows []*Entry, damage error) error {
		if damage != nil {
			return damage
		}
		return each(rows)
	})
}

// EachJoined is Joined, but tells each of a Damage and goes on.
func (db *DB) EachJoined(ctx context.Context, query string, args []any, tables []*Table, each func(rows []*Entry, damage error) error) error {
	return db.engine.rows(ctx, db, query, args, widthOf(tables), db.joined(tables, each))
}

// widthOf is how many values a row of several tables has.
func widthOf(tables []*Table) (n int) {
	for _, t := range tables {
		n += t.width()
	}
	return n
}

// joined returns what takes a row of several tables.
func (db *DB) joined(tables []*Table, each func([]*Entry, error) error) func(row []any) error {
	return func(row []any) error {
		entries := make([]*Entry, len(tables))
		var damage error
		g := db.keys()
		for i, t := range tables {
			e := t.entry(row[:t.width():t.width()])
			entries[i], row = e, row[t.width():]
			if e.absent() {
				entries[i] = nil
				if g != nil {
					g.mac(e.table, e.values) // so that the time does not tell who is there
				}
			} else if err := db.verify(e); err != nil && damage == nil {
				damage = err
			}
		}
		return each(entries, damage)
	}
}

// Joined is [DB.Joined] in the transaction. each is called when all rows are read.
func (tx *Tx) Joined(query string, args []any, tables []*Table, each func([]*Entry) error) error {
	s, err := tx.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryxContext(tx.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var all [][]*Entry
	read := tx.db.joined(tables, func(found []*Entry, damage error) error {
		all = append(all, found)
		return damage
	})
	if err := errors.Join(scanEach(rows, widthOf(tables), read), rows.Close()); err != nil {
		return err
	}
	for _, found := range all {
		if err := each(found); err != nil {
			return err
		}
	}
	return nil
}

// Entries returns the rows of a table under a condition. Its error is a Damage when one of
// them is not as it was written.
func (tx *Tx) Entries(t *Table, where string, args ...any) ([]*Entry, error) {
	var all []*Entry
	err := tx.Each(t, where, args, func(e *Entry, damage error) error {
		all = append(all, e)
		return damage
	})
	return all, err
}

// Entry returns the first row of a table under a condition; nil when there is none. Its
// error is a Damage for a row that is not as it was written.
func (tx *Tx) Entry(t *Table, where string, args ...any) (*Entry, error) {
	all, err := tx.Entries(t, where, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// Each is [DB.Each] in the transaction. each is called when all rows are read, and may
// change them.
func (tx *Tx) Each(t *Table, where string, args []any, each func(e *Entry, damage error) error) error {
	all, err := tx.Unverified(t, where, args...)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := each(e, tx.db.verify(e)); err != nil {
			return err
		}
	}
	return nil
}

// Unverified returns the rows of a table under a condition, as they are: for who brings
// a row into a state that does not depend on what it says ([Tx.Whole]).
func (tx *Tx) Unverified(t *Table, where string, args ...any) ([]*Entry, error) {
	s, err := tx.stmt(`SELECT ` + t.Of("") + ` FROM ` + t.Name + condition(where))
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryxContext(tx.ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*Entry
	err = scanEach(rows, t.width(), func(row []any) error {
		all = append(all, t.entry(row))
		return nil
	})
	return all, errors.Join(err, rows.Close())
}

// scanEach calls each for every row, of n values, which each may keep.
func scanEach(rows *sqlx.Rows, n int, each func(row []any) error) error {
	into := make([]any, n)
	for rows.Next() {
		row := make([]any, n)
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Whole reports whether a row is as it was written. Without a guard every row is.
func (tx *Tx) Whole(e *Entry) bool {
	g := tx.db.keys()
	return g == nil || g.fits(e)
}

// Misplaced returns the Damage of a row, among those of the table that were found damaged,
// which is as it was written once it has the values of one of the ways by which somebody
// looks for it; nil when no row is.
func (tx *Tx) Misplaced(t *Table, ways ...map[string][]byte) error {
	for _, d := range tx.db.Damaged() {
		if d.Table != t.Name || d.Row == "" {
			continue
		}
		where, args := "", []any(nil) // a name tells only how a key begins: all rows, then
		if t.Number != "" {
			number, err := strconv.ParseInt(d.Row, 10, 64)
			if err != nil {
				return err
			}
			where, args = t.Number+" = ?", []any{number}
		}
		rows, err := tx.Unverified(t, where, args...)
		if err != nil {
			return err
		}
		for _, e := range rows {
			if tx.fitsSomeWay(e, ways) {
				return tx.db.note(e.damage())
			}
		}
		if t.Number == "" {
			return nil
		}
	}
	return nil
}

// fitsSomeWay reports whether a row that is not as it was written is so with the values of
// one of the ways.
func (tx *Tx) fitsSomeWay(e *Entry, ways []map[string][]byte) bool {
	if tx.Whole(e) {
		return false
	}
	for _, way := range ways {
		moved := e.Clone()
		for column, value := range way {
			moved.Set(column, value)
		}
		if tx.Whole(moved) {
			return true
		}
	}
	return false
}

// Missing says that a row which must be there is not, and returns that as an error.
func (db *DB) Missing(t *Table) error { return db.note(Damage{Table: t.Name}) }

// Missing is [DB.Missing].
func (tx *Tx) Missing(t *Table) error { return tx.db.Missing(t) }

// Lacking says that a row with this key must be there and is not, and returns that as an error.
// Only the beginning of the key is told.
func (tx *Tx) Lacking(t *Table, key []byte) error {
	return tx.db.note(Damage{t.Name, beginningOf(key)})
}

// Insert adds a row with the values of all columns, in the table's order.
func (tx *Tx) Insert(t *Table, values ...any) error {
	added, err := tx.InsertNew(t, values...)
	if err == nil && !added {
		err = fmt.Errorf("insert into %s: a row is there already: %w", t.Name, eventstore.ErrInvalid)
	}
	return err
}

// InsertNew is Insert, and returns false when a row that a unique index knows is there.
func (tx *Tx) InsertNew(t *Table, values ...any) (bool, error) {
	return tx.Add(tx.db.Known(t, values...))
}

// Add is InsertNew for a row that [DB.Known] made.
func (tx *Tx) Add(e *Entry) (bool, error) { return tx.AddWhere(e, "") }

// AddWhere is Add for a row that is added only if source, the FROM of a query that finds
// one row or none, finds one.
func (tx *Tx) AddWhere(e *Entry, source string, args ...any) (bool, error) {
	t := e.table
	all := make([]any, 0, len(e.values)+1+len(args))
	all = append(append(append(all, e.values...), bytesOrNull(e.mac)), args...)
	n, err := tx.Exec(tx.db.insertion(t, source), all...)
	if err == nil && n == 1 && e.mac != nil {
		tx.count(t, 1, tx.db.keys().element(t, e.mac))
	}
	return n == 1, err
}

// insertion returns the statement of AddWhere, which is put together once.
func (db *DB) insertion(t *Table, source string) string {
	type statement struct {
		table  *Table
		source string
	}
	if query, known := db.insertions.Load(statement{t, source}); known {
		return query.(string)
	}
	list := strings.Repeat("?, ", len(t.Columns)) + "?"
	rows := `VALUES (` + list + `)`
	if source != "" {
		rows = `SELECT ` + list + ` ` + source
	}
	query := db.engine.insert() + t.Name + ` (` + strings.Join(t.Columns, ", ") + `, mac) ` + rows + ` ON CONFLICT DO NOTHING`
	db.insertions.Store(statement{t, source}, query)
	return query
}

func bytesOrNull(b []byte) any {
	if b == nil { // a nil []byte would be stored as an empty one
		return nil
	}
	return b
}

// Put stores what was set in a row that this transaction has read.
func (tx *Tx) Put(e *Entry) error {
	if len(e.changed) == 0 {
		return nil
	}
	e.changed = slices.Sorted(slices.Values(e.changed)) // few statements are prepared
	set := make([]string, 0, len(e.changed)+1)
	args := make([]any, 0, len(e.changed)+3)
	for _, i := range e.changed {
		set = append(set, e.table.Columns[i]+" = ?")
		args = append(args, e.values[i])
	}
	g := tx.db.keys()
	var mac []byte
	if g != nil {
		mac = g.mac(e.table, e.values)
		set, args = append(set, "mac = ?"), append(args, mac)
	}
	where, key := e.finder()
	n, err := tx.Exec(`UPDATE `+e.table.Name+` SET `+strings.Join(set, ", ")+` WHERE `+where, append(args, key...)...)
	if err != nil {
		return err
	}
	if n != 1 {
		return tx.db.note(e.damage()) // what the table finds by its number its index does not
	}
	if g != nil {
		if e.mac != nil {
			tx.count(e.table, -1, g.element(e.table, e.mac))
		}
		tx.count(e.table, 1, g.element(e.table, mac))
		e.mac = mac
	}
	e.changed = nil
	return nil
}

// Update sets columns of the rows of a table under a condition and returns how many there
// were. It changes nothing, and returns a Damage, when one of them is not as it was
// written.
func (tx *Tx) Update(t *Table, where string, args []any, change func(*Entry)) (int64, error) {
	all, err := tx.Entries(t, where, args...)
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		change(e)
		if err := tx.Put(e); err != nil {
			return 0, err
		}
	}
	return int64(len(all)), nil
}

// Delete removes the rows of a table under a condition and returns how many there were. It
// removes nothing, and returns a Damage, when one of them is not as it was written.
func (tx *Tx) Delete(t *Table, where string, args ...any) (int64, error) {
	all, err := tx.Entries(t, where, args...)
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		if err := tx.Remove(e); err != nil {
			return 0, err
		}
	}
	return int64(len(all)), nil
}

// Remove deletes a row that this transaction has read.
func (tx *Tx) Remove(e *Entry) error {
	where, key := e.finder()
	n, err := tx.Exec(`DELETE FROM `+e.table.Name+` WHERE `+where, key...)
	if err != nil {
		return err
	}
	if n != 1 {
		return tx.db.note(e.damage())
	}
	if g := tx.db.keys(); g != nil && e.mac != nil {
		tx.count(e.table, -1, g.element(e.table, e.mac))
	}
	return nil
}

// Known returns the row that Insert writes with these values, for Add and Swap.
func (db *DB) Known(t *Table, values ...any) *Entry {
	if len(values) != len(t.Columns) {
		panic(fmt.Sprintf("keysdb: %d values for %s", len(values), t.Name))
	}
	e := &Entry{table: t, values: make([]any, len(values))}
	for i, v := range values {
		e.values[i] = plain(v)
	}
	if g := db.keys(); g != nil {
		e.mac = g.mac(t, e.values)
	}
	return e
}

// Swap stores what was set in a row, if it still has the MAC that the
// entry was read with, and reports whether it has. It does not read the row: a column that
// was damaged since and is not set stays damaged. The entry stays as it is, so that a
// transaction may run again.
func (tx *Tx) Swap(e *Entry) (bool, error) {
	g := tx.db.keys()
	if g == nil {
		return false, errNoGuard
	}
	mac := g.mac(e.table, e.values)
	var set, where strings.Builder
	args := make([]any, 0, len(e.changed)+len(e.table.Key)+2)
	for _, i := range slices.Sorted(slices.Values(e.changed)) {
		set.WriteString(e.table.Columns[i] + " = ?, ")
		args = append(args, e.values[i])
	}
	args = append(args, mac)
	if e.number != 0 { // the shorter way, for a row that was read
		where.WriteString(e.table.Number + " = ? AND ")
		args = append(args, e.number)
	} else {
		for _, column := range e.table.Key {
			where.WriteString(column + " = ? AND ")
			args = append(args, e.values[e.table.column(column)])
		}
	}
	n, err := tx.Exec(`UPDATE `+e.table.Name+` SET `+set.String()+`mac = ? WHERE `+where.String()+`mac = ?`, append(args, e.mac)...)
	if err == nil && n == 1 {
		tx.count(e.table, -1, g.element(e.table, e.mac))
		tx.count(e.table, 1, g.element(e.table, mac))
	}
	return n == 1, err
}

var errNoGuard = fmt.Errorf("keysdb: the key of the rows is not known yet: %w", eventstore.ErrKeysUnavailable)
