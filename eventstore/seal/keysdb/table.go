package keysdb

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"coffre/eventstore"
)

// Table describes a table of which each row carries a MAC over the name of the table and
// the row's columns, in a column of its own, mac. It is made once and not changed.
type Table struct {
	Name string
	// Number is the column of row numbers, by which a row is named to the operator. The
	// database chooses it, so the MAC leaves it out. "" for a table that has none.
	Number string
	// Key are the columns of a unique index, by which a row is found.
	Key []string
	// Columns are all others but mac. Their order is for ever, because it is part of what
	// the MAC covers: a new column goes to the end, and into Added.
	Columns []string
	// Added are columns that came when rows carried MACs already, with their default. A
	// column that has its default is left out of the MAC, so rows from before stay true.
	Added map[string]any
	// Uncounted tables may lose rows unnoticed. Of all others the database keeps a sealed
	// sum, so that a row that is gone, or that was replaced by an older one of itself, is
	// noticed.
	Uncounted bool
}

const macColumn = "mac"

// macSize is the bytes of a row's MAC: HMAC-SHA256, cut to 128 bits.
const macSize = 16

// ErrDamaged is wrapped by the error of every row that is not as Coffre wrote it.
var ErrDamaged = errors.New("keysdb: damaged row")

// Damage names a row that is not as Coffre wrote it. It is an error that wraps ErrDamaged
// and eventstore.ErrKeysUnavailable: who needs the row is answered that keys are
// unavailable, and everybody else is served.
type Damage struct {
	Table string
	// Row is the row's number, or what finds it; "" says that rows of the table are
	// missing, or were replaced by older ones of themselves.
	Row string
}

func (d Damage) Error() string {
	if d.Row == "" {
		return "key database: rows of " + d.Table + " are missing, or older ones were put back"
	}
	return "key database: row " + d.Row + " of " + d.Table + " is damaged"
}

// Sums reports whether the damage is to the sums: then of no table it is known whether rows
// are missing.
func (d Damage) Sums() bool { return d.Table == sumsTable }

// Unwrap returns what the error counts as.
func (d Damage) Unwrap() []error { return []error{ErrDamaged, eventstore.ErrKeysUnavailable} }

// Of returns the table's columns for the list of a SELECT, of the table known there as
// alias ("" for none): [DB.Joined] reads them.
func (t *Table) Of(alias string) string {
	if alias != "" {
		alias += "."
	}
	all := t.selected()
	for i := range all {
		all[i] = alias + all[i]
	}
	return strings.Join(all, ", ")
}

func (t *Table) selected() []string {
	all := slices.Clone(t.Columns)
	if t.Number != "" {
		all = append(all, t.Number)
	}
	return append(all, macColumn)
}

func (t *Table) column(name string) int {
	for i, c := range t.Columns {
		if c == name {
			return i
		}
	}
	panic("keysdb: " + t.Name + " has no column " + strconv.Quote(name))
}

// Entry is a row of a table. It is for one goroutine.
type Entry struct {
	table   *Table
	values  []any // by column
	number  int64
	mac     []byte // as stored
	changed []int  // columns
}

// Int returns an integer column; 0 for NULL.
func (e *Entry) Int(column string) int64 {
	n, _ := e.values[e.table.column(column)].(int64)
	return n
}

// Bytes returns a column of bytes; nil for NULL.
func (e *Entry) Bytes(column string) []byte {
	b, _ := e.values[e.table.column(column)].([]byte)
	return b
}

// Text returns a column of text; "" for NULL.
func (e *Entry) Text(column string) string {
	s, _ := e.values[e.table.column(column)].(string)
	return s
}

// Null reports whether a column is NULL.
func (e *Entry) Null(column string) bool { return e.values[e.table.column(column)] == nil }

// Number returns the row's number, 0 in a table without.
func (e *Entry) Number() int64 { return e.number }

// Clone returns a copy of the row, of which columns may be set without changing this one.
func (e *Entry) Clone() *Entry {
	clone := *e
	clone.values, clone.changed = slices.Clone(e.values), slices.Clone(e.changed)
	return &clone
}

// Set changes a column, in memory.
func (e *Entry) Set(column string, value any) {
	i := e.table.column(column)
	e.values[i] = plain(value)
	if !slices.Contains(e.changed, i) {
		e.changed = append(e.changed, i)
	}
}

// damage names the row.
func (e *Entry) damage() Damage {
	if e.table.Number != "" {
		return Damage{e.table.Name, strconv.FormatInt(e.number, 10)}
	}
	parts := make([]string, len(e.table.Key))
	for i, column := range e.table.Key {
		switch v := e.values[e.table.column(column)].(type) {
		case []byte:
			parts[i] = beginningOf(v)
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return Damage{e.table.Name, strings.Join(parts, "/")}
}

// beginningOf names an id or a keyed digest: its beginning is enough to tell rows apart.
func beginningOf(key []byte) string {
	if len(key) == 0 { // a row without a name would be one that is missing
		return "empty"
	}
	return hex.EncodeToString(key[:min(len(key), 6)])
}

// finder returns the condition that finds the row in its table, and its arguments.
func (e *Entry) finder() (where string, args []any) {
	if e.table.Number != "" {
		return e.table.Number + " = ?", []any{e.number}
	}
	for i, column := range e.table.Key {
		if i > 0 {
			where += " AND "
		}
		where += column + " = ?"
		args = append(args, e.values[e.table.column(column)])
	}
	return where, args
}

// plain is a value as a database gives it back.
func plain(v any) any {
	switch v := v.(type) {
	case nil, int64, string, []byte:
		return v
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return r.Int()
	case r.Kind() == reflect.String:
		return r.String()
	}
	panic(fmt.Sprintf("keysdb: a value of type %T", v))
}

// append writes what the MAC of a row covers: the table's name after its length, and each
// column as its number, a letter for its type, and its value, of which text and bytes
// stand after their length. Lengths and integers are big-endian.
func (t *Table) append(b []byte, values []any) []byte {
	b = append(b, "coffre/row/v1\x00"...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.Name)))
	b = append(b, t.Name...)
	for i, v := range values {
		if standard, added := t.Added[t.Columns[i]]; added && equal(v, plain(standard)) {
			continue
		}
		b = append(b, byte(i))
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
		case string:
			b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v)))
			b = append(b, v...)
		case []byte:
			b = binary.BigEndian.AppendUint32(append(b, 'b'), uint32(len(v)))
			b = append(b, v...)
		default: // a type that no column here has: no row has it, so no MAC fits
			b = append(b, '?')
		}
	}
	return b
}

func equal(a, b any) bool {
	x, ok := a.([]byte)
	y, both := b.([]byte)
	if ok || both {
		return ok && both && string(x) == string(y)
	}
	return a == b
}

// width is how many values [Table.Of] lists.
func (t *Table) width() int {
	n := len(t.Columns) + 1
	if t.Number != "" {
		n++
	}
	return n
}

// entry makes an entry of the values that [Table.Of] lists, and keeps them.
func (t *Table) entry(row []any) *Entry {
	n := len(t.Columns)
	e := &Entry{table: t, values: row[:n:n]}
	if t.Number != "" {
		e.number, _ = row[n].(int64) // absent where a join found no row
	}
	e.mac, _ = row[len(row)-1].([]byte)
	return e
}

// absent reports whether a join found no row: no table has a row of nothing.
func (e *Entry) absent() bool {
	return e.mac == nil && e.number == 0 && !slices.ContainsFunc(e.values, func(v any) bool { return v != nil })
}
