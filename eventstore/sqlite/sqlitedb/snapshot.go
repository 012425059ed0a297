package sqlitedb

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// Snapshot copies one state of a database while others go on writing to it. What
// was deleted is not in the copy, nor in free pages of it. From Take to Release it
// holds on to that state: the write-ahead log grows and [DB.Truncate] fails. It is
// for one goroutine at a time.
type Snapshot struct {
	ctx  context.Context
	conn *sqlite3.Conn
}

// OpenSnapshot connects to the database at path, which must be there. ctx bounds
// everything that is done with the snapshot.
func OpenSnapshot(ctx context.Context, path string, o Options) (*Snapshot, error) {
	if _, err := os.Stat(path); err != nil && o.VFS == "" {
		return nil, fmt.Errorf("snapshot of %s: %w", filepath.Base(path), err)
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	conn, err := connect(ctx, path, o.withDefaults(), Read)
	if err != nil {
		return nil, err
	}
	conn.SetInterrupt(ctx)
	return &Snapshot{ctx, conn}, nil
}

// Take chooses the state: all that is committed now. Taken again, it lets go of the
// former one.
func (s *Snapshot) Take() error {
	if err := s.Release(); err != nil {
		return err
	}
	if err := s.conn.Exec(`BEGIN`); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	if _, err := text(s.conn, `SELECT count(*) FROM sqlite_schema`); err != nil { // the first read is what fixes it
		return fmt.Errorf("take a snapshot: %w", err)
	}
	return nil
}

// Release lets go of the state, if one was taken.
func (s *Snapshot) Release() error {
	if s.conn.GetAutocommit() {
		return nil
	}
	if err := s.conn.Exec(`ROLLBACK`); err != nil {
		return fmt.Errorf("let go of a snapshot: %w", err)
	}
	return nil
}

// First gives the first row of a query to scan; found is false when there is none.
func (s *Snapshot) First(query string, scan func(*sqlite3.Stmt)) (found bool, err error) {
	row, _, err := s.conn.Prepare(query)
	if err != nil {
		return false, err
	}
	defer row.Close()
	if found = row.Step(); found {
		scan(row)
	}
	return found, s.ended(row.Err())
}

// Integers reads the integers of a query's first row, which is there; a NULL reads as 0.
func (s *Snapshot) Integers(query string, into ...*int64) error {
	found, err := s.First(query, func(row *sqlite3.Stmt) {
		for i := range into {
			*into[i] = row.ColumnInt64(i)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("no answer to %q", query)
	}
	return err
}

// ended tells the caller's own end from the database's errors.
func (s *Snapshot) ended(err error) error {
	if s.ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
		return s.ctx.Err()
	}
	return err
}

// Close lets go of the state and of the database.
func (s *Snapshot) Close() error { return s.conn.Close() }

// What WriteTo writes, all numbers as varints: the form, the application's id and
// version, how many statements, each statement's kind and text; then for each table
// its name, the number of its columns and its rows, each behind a 1, and a 0.
const (
	dumpForm   = 1
	dumpTable  = 0
	dumpOther  = 1
	dumpEnd    = 0
	dumpRow    = 1
	maxSQL     = 1 << 20  // bytes of one statement
	maxValue   = 16 << 20 // bytes of one value; an event has 512 KiB at most
	maxTables  = 1000
	maxColumns = 1000
	loadChunk  = 16 << 20 // bytes in one transaction while a copy is loaded
)

// Kinds of a value.
const (
	valueNull = iota
	valueInteger
	valueFloat
	valueText
	valueBlob
)

// WriteTo writes the state, which Take chose, row by row, for [Restore].
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &dumper{w: bufio.NewWriterSize(w, 64<<10)}
	err := s.write(out)
	if err == nil {
		err = out.err
	}
	if flushed := out.w.Flush(); err == nil {
		err = flushed
	}
	if err = s.ended(err); err != nil {
		return out.n, fmt.Errorf("copy a database: %w", err)
	}
	return out.n, nil
}

func (s *Snapshot) write(out *dumper) error {
	shape, err := s.Shape()
	if err != nil {
		return err
	}
	out.shape(shape)
	for _, table := range shape.Tables {
		if err := s.table(out, table); err != nil {
			return err
		}
	}
	return nil
}

// Shape is a database without its rows.
type Shape struct {
	Tables []Table

	application, version string
	statements           []statement
}

// Table is a table of a [Shape].
type Table struct {
	Name    string
	Columns []string // in their order
}

type statement struct {
	kind uint64
	sql  string
}

// Shape returns the shape of the state that Take chose.
func (s *Snapshot) Shape() (shape Shape, err error) {
	if shape.application, err = text(s.conn, `PRAGMA application_id`); err != nil {
		return shape, err
	}
	if shape.version, err = text(s.conn, `PRAGMA user_version`); err != nil {
		return shape, err
	}
	rows, _, err := s.conn.Prepare(`SELECT type = 'table', name, sql FROM sqlite_schema
		WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_' ORDER BY type <> 'table', rowid`)
	if err != nil {
		return shape, err
	}
	defer rows.Close()
	for rows.Step() {
		one := statement{dumpOther, rows.ColumnText(2)}
		if rows.ColumnBool(0) {
			one.kind = dumpTable
			table, err := s.columns(rows.ColumnText(1))
			if err != nil {
				return shape, err
			}
			shape.Tables = append(shape.Tables, table)
		}
		shape.statements = append(shape.statements, one)
	}
	return shape, rows.Err()
}

// ReadShape returns the shape of the database at path, which must be there.
func ReadShape(ctx context.Context, path string) (shape Shape, err error) {
	s, err := OpenSnapshot(ctx, path, Options{})
	if err != nil {
		return Shape{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Take(); err != nil {
		return Shape{}, err
	}
	return s.Shape()
}

func (s *Snapshot) columns(table string) (Table, error) {
	all, _, err := s.conn.Prepare(selectAll(table))
	if err != nil {
		return Table{}, err
	}
	defer all.Close()
	t := Table{Name: table}
	for column := range all.ColumnCount() {
		t.Columns = append(t.Columns, all.ColumnName(column))
	}
	return t, nil
}

func selectAll(table string) string { return `SELECT * FROM ` + sqlite3.QuoteIdentifier(table) }

// WriteRows writes for [Restore] a database of that shape with rows from elsewhere: rows gives each
// row of a table once, a value of nil, int64, float64, string or []byte for every column, which
// each does not keep.
func (s Shape) WriteRows(w io.Writer, rows func(table Table, each func(values []any) error) error) (int64, error) {
	out := &dumper{w: bufio.NewWriterSize(w, 64<<10)}
	out.shape(s)
	for _, table := range s.Tables {
		out.table(table)
		err := rows(table, func(values []any) error { return out.row(table, values) })
		if err != nil {
			return out.n, fmt.Errorf("copy table %s: %w", table.Name, err)
		}
		out.number(dumpEnd)
	}
	if flushed := out.w.Flush(); out.err == nil {
		out.err = flushed
	}
	return out.n, out.err
}

// row writes a row that no SQLite statement stands on.
func (d *dumper) row(table Table, values []any) error {
	if len(values) != len(table.Columns) {
		return fmt.Errorf("%d values for %d columns", len(values), len(table.Columns))
	}
	d.number(dumpRow)
	for i, value := range values {
		switch v := value.(type) {
		case nil:
			d.number(valueNull)
		case int64:
			d.number(valueInteger)
			d.number(uint64(v))
		case float64:
			d.number(valueFloat)
			d.number(math.Float64bits(v))
		case string:
			d.number(valueText)
			d.text(v)
		case []byte:
			d.number(valueBlob)
			d.bytes(v)
		default:
			return fmt.Errorf("column %s holds a %T", table.Columns[i], value)
		}
	}
	return d.err
}

func (d *dumper) shape(s Shape) {
	d.number(dumpForm)
	d.text(s.application)
	d.text(s.version)
	d.number(uint64(len(s.statements)))
	for _, one := range s.statements {
		d.number(one.kind)
		d.text(one.sql)
	}
	d.number(uint64(len(s.Tables)))
}

func (d *dumper) table(t Table) {
	d.text(t.Name)
	d.number(uint64(len(t.Columns)))
}

func (s *Snapshot) table(out *dumper, table Table) error {
	rows, _, err := s.conn.Prepare(selectAll(table.Name))
	if err != nil {
		return err
	}
	defer rows.Close()
	out.table(table)
	for rows.Step() && out.err == nil {
		out.number(dumpRow)
		for column := range table.Columns {
			switch rows.ColumnType(column) {
			case sqlite3.INTEGER:
				out.number(valueInteger)
				out.number(uint64(rows.ColumnInt64(column)))
			case sqlite3.FLOAT:
				out.number(valueFloat)
				out.number(math.Float64bits(rows.ColumnFloat(column)))
			case sqlite3.TEXT:
				out.number(valueText)
				out.bytes(rows.ColumnRawText(column))
			case sqlite3.BLOB:
				out.number(valueBlob)
				out.bytes(rows.ColumnRawBlob(column))
			default:
				out.number(valueNull)
			}
		}
	}
	out.number(dumpEnd)
	return rows.Err()
}

// dumper writes until the first error, which it keeps.
type dumper struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (d *dumper) raw(b []byte) {
	if d.err == nil {
		var n int
		n, d.err = d.w.Write(b)
		d.n += int64(n)
	}
}

func (d *dumper) number(v uint64) {
	var b [binary.MaxVarintLen64]byte
	d.raw(b[:binary.PutUvarint(b[:], v)])
}

func (d *dumper) bytes(b []byte) {
	d.number(uint64(len(b)))
	d.raw(b)
}

func (d *dumper) text(s string) { d.bytes([]byte(s)) }

// ErrCopy: the bytes are not what a Snapshot wrote, or not all of it.
var ErrCopy = errors.New("sqlitedb: not a whole copy of a database")

// Restore makes the database at path, where none may be, of what a [Snapshot]
// wrote; nothing may follow in r. It is durable when Restore returned nil; after an
// error whatever it made is for the caller to remove. o is what the database will be
// opened with. Bytes that no Snapshot wrote end with ErrCopy or SQLite's error, and
// make nothing but tables, indexes and triggers of this database.
func Restore(ctx context.Context, path string, o Options, r io.Reader) error {
	if err := restore(ctx, path, o, r); err != nil {
		return fmt.Errorf("restore %s: %w", filepath.Base(path), err)
	}
	return nil
}

func restore(ctx context.Context, path string, o Options, r io.Reader) (err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fs.ErrExist)
	}
	o.Volatile = true // synced once, when all is there
	conn, err := OpenConn(ctx, path, o, Write)
	if err != nil {
		return err
	}
	conn.SetInterrupt(ctx)
	l := &loader{conn: conn, r: bufio.NewReaderSize(r, 64<<10)}
	err = l.load()
	if err == nil {
		_, err = text(conn, `PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
		err = ctx.Err()
	}
	for _, s := range l.prepared {
		_ = s.Close() // what it says was said at its last step
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path), o.VFS)
}

// loader reads what a dumper wrote.
type loader struct {
	conn     *sqlite3.Conn
	r        *bufio.Reader
	prepared []*sqlite3.Stmt
	pending  int // bytes in the open transaction
}

func (l *loader) load() error {
	form, err := l.number(dumpForm)
	if err != nil || form != dumpForm {
		return ErrCopy
	}
	application, err := l.text(20)
	if err != nil {
		return err
	}
	version, err := l.text(20)
	if err != nil {
		return err
	}
	if !number(application) || !number(version) {
		return ErrCopy
	}
	count, err := l.number(maxTables)
	if err != nil {
		return err
	}
	var later []string
	if err := l.conn.Exec(Spill + `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	for range count {
		kind, err := l.number(dumpOther)
		if err != nil {
			return err
		}
		sql, err := l.text(maxSQL)
		if err != nil {
			return err
		}
		if kind == dumpOther { // after the rows: triggers would refuse them, indexes be slow
			later = append(later, sql)
		} else if err := l.define(sql, "CREATE TABLE "); err != nil {
			return err
		}
	}
	tables, err := l.number(count)
	if err != nil {
		return err
	}
	for range tables {
		if err := l.table(); err != nil {
			return err
		}
	}
	for _, sql := range later {
		if err := l.define(sql, "CREATE INDEX ", "CREATE UNIQUE INDEX ", "CREATE TRIGGER "); err != nil {
			return err
		}
	}
	if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(ErrCopy, err)
	}
	return l.conn.Exec(`PRAGMA application_id=` + application + `; PRAGMA user_version=` + version + `; COMMIT`)
}

// number reports whether s is a whole number in digits, as pragmas take it.
func number(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// define runs one statement of the schema, and no other.
func (l *loader) define(sql string, kinds ...string) error {
	known := false
	for _, kind := range kinds {
		known = known || strings.HasPrefix(sql, kind)
	}
	s, tail, err := l.conn.Prepare(sql)
	if err != nil {
		return errors.Join(ErrCopy, err)
	}
	defer s.Close()
	if !known || strings.TrimSpace(tail) != "" {
		return ErrCopy
	}
	return s.Exec()
}

func (l *loader) table() error {
	name, err := l.text(maxSQL)
	if err != nil {
		return err
	}
	if strings.ContainsRune(name, 0) { // no name has one, and the driver quotes none
		return ErrCopy
	}
	columns, err := l.number(maxColumns)
	if err != nil || columns == 0 {
		return errors.Join(ErrCopy, err)
	}
	insert, _, err := l.conn.Prepare(`INSERT INTO ` + sqlite3.QuoteIdentifier(name) + ` VALUES (?` + strings.Repeat(`,?`, int(columns)-1) + `)`)
	if err != nil {
		return errors.Join(ErrCopy, err)
	}
	l.prepared = append(l.prepared, insert)
	for {
		more, err := l.number(dumpRow)
		if err != nil {
			return err
		}
		if more == dumpEnd {
			return nil
		}
		for column := range int(columns) {
			if err := l.value(insert, column+1); err != nil {
				return err
			}
		}
		if err := insert.Exec(); err != nil {
			return err
		}
		if l.pending < loadChunk {
			continue
		}
		l.pending = 0
		if err := l.conn.Exec(`COMMIT; BEGIN IMMEDIATE`); err != nil {
			return err
		}
	}
}

func (l *loader) value(s *sqlite3.Stmt, param int) error {
	kind, err := l.number(valueBlob)
	if err != nil {
		return err
	}
	switch kind {
	case valueInteger:
		v, err := l.number(math.MaxUint64)
		return errors.Join(err, s.BindInt64(param, int64(v)))
	case valueFloat:
		v, err := l.number(math.MaxUint64)
		return errors.Join(err, s.BindFloat(param, math.Float64frombits(v)))
	case valueText:
		b, err := l.bytes(maxValue)
		return errors.Join(err, s.BindRawText(param, b))
	case valueBlob:
		b, err := l.bytes(maxValue)
		if err == nil && len(b) == 0 {
			return s.BindZeroBlob(param, 0) // an empty blob is not NULL
		}
		return errors.Join(err, s.BindBlob(param, b))
	}
	return s.BindNull(param)
}

func (l *loader) number(most uint64) (uint64, error) {
	v, err := binary.ReadUvarint(l.r)
	if err != nil || v > most {
		return 0, cut(err)
	}
	return v, nil
}

func (l *loader) bytes(most uint64) ([]byte, error) {
	size, err := l.number(most)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(l.r, int64(size))) // grows with what comes, not with what is announced
	if err != nil || uint64(len(b)) != size {
		return nil, cut(err)
	}
	l.pending += len(b)
	return b, nil
}

func (l *loader) text(most uint64) (string, error) {
	b, err := l.bytes(most)
	return string(b), err
}

// cut says that the bytes are no copy, and what their reader said if it was more
// than that they end.
func cut(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCopy
	}
	return fmt.Errorf("%w: %w", ErrCopy, err)
}
