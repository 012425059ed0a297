// Package table writes rows of one type in the formats of files that people ask for: CSV, JSON
// Lines, Office Open XML and Parquet.
//
// A row is a struct whose exported fields are its columns: texts, numbers of organisations,
// counts, moments and lists of words. The tag json names a column, in every format alike;
// parquet says how it lies there; about says what it holds, for the documentation. A value that
// is absent is zero: an empty cell, no member, a null.
//
// Invariant: what a file costs in memory does not grow with its rows, and no value becomes a
// formula of a spreadsheet.
package table

import (
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
)

// Digits is a number of an organisation: digits that no reader may take for a count, because
// the first of them is often zero.
type Digits string

// Column is one column of a type of rows.
type Column struct {
	Name  string
	About string // what it holds
	Type  string // text, digits, count, moment or words

	index int // of the field
}

// Columns returns the columns of rows T in their order. It panics on a field that no format can
// write, or that lacks a tag: types of rows are literals.
func Columns[T any]() (all []Column) {
	row := reflect.TypeFor[T]()
	for i := range row.NumField() {
		f := row.Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		same, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		c := Column{Name: name, About: f.Tag.Get("about"), index: i}
		switch f.Type {
		case reflect.TypeFor[string]():
			c.Type = "text"
		case reflect.TypeFor[Digits]():
			c.Type = "digits"
		case reflect.TypeFor[int]():
			c.Type = "count"
		case reflect.TypeFor[time.Time]():
			c.Type = "moment"
		case reflect.TypeFor[[]string]():
			c.Type = "words"
		}
		if name == "" || name != same || c.About == "" || c.Type == "" {
			panic("table: " + row.Name() + "." + f.Name + " is no column")
		}
		all = append(all, c)
	}
	return all
}

// appendCell appends the value of a column as text; nothing when there is none. Words are joined
// by spaces: no identifier or code of the vault contains one.
func (c Column) appendCell(dst []byte, row reflect.Value) []byte {
	switch v := row.Field(c.index); c.Type {
	case "text", "digits":
		return append(dst, v.String()...)
	case "count":
		if n := v.Int(); n != 0 {
			return strconv.AppendInt(dst, n, 10)
		}
	case "moment":
		if t := v.Addr().Interface().(*time.Time); !t.IsZero() { // as a pointer, which costs no copy
			return t.UTC().AppendFormat(dst, time.RFC3339Nano)
		}
	case "words":
		for i, word := range *v.Addr().Interface().(*[]string) {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = append(dst, word...)
		}
	}
	return dst
}

// Form says how rows are written.
type Form struct {
	Format    contract.ExportFormat
	Dialect   contract.ExportDialect   // of CSV; "" is the standard one
	Separator contract.ExportSeparator // of CSV; "" is that of the dialect
	Name      string                   // of the sheets of a workbook
}

// Writer writes rows of one type. It is used by one goroutine.
type Writer[T any] struct {
	// Write writes one row, which it does not keep.
	Write func(*T) error
	// End writes what is left. It is called once, after the last row.
	End func() error
}

// New returns a writer to w, which need not be buffered.
func New[T any](f Form, w io.Writer) Writer[T] {
	switch f.Format {
	case contract.ExportFormatJsonl:
		encoder := wire.NewEncoder(w)
		return Writer[T]{func(row *T) error { return encoder.Encode(row) }, func() error { return nil }}
	case contract.ExportFormatParquet:
		return newParquet[T](w)
	case contract.ExportFormatXlsx:
		return inCells[T](newXLSX(w, f.Name, Columns[T]()))
	default:
		return inCells[T](newCSV(w, f, Columns[T]()))
	}
}

// lines writes rows of texts, which it does not keep.
type lines interface {
	write(cells [][]byte) error
	end() error
}

func inCells[T any](to lines) Writer[T] {
	columns := Columns[T]()
	cells := make([][]byte, len(columns))
	return Writer[T]{func(row *T) error {
		v := reflect.ValueOf(row).Elem()
		for i, c := range columns {
			cells[i] = c.appendCell(cells[i][:0], v)
		}
		return to.write(cells)
	}, to.end}
}

// rowGroup is how many rows of a Parquet file are held in memory and written together.
const rowGroup = 10_000

// newParquet writes a Parquet file: texts as UTF-8, counts as 64-bit integers, moments as
// microseconds UTC, words as lists of texts; what is absent is null. Columns are compressed
// with Snappy, which every reader knows.
func newParquet[T any](w io.Writer) Writer[T] {
	out := parquet.NewGenericWriter[T](w, parquet.MaxRowsPerRowGroup(rowGroup), parquet.Compression(&parquet.Snappy), parquet.CreatedBy("coffre", "1", ""))
	some := make([]T, 0, 256)
	flush := func() error {
		_, err := out.Write(some)
		some = some[:0]
		return err
	}
	return Writer[T]{func(row *T) error {
		if some = append(some, *row); len(some) < cap(some) {
			return nil
		}
		return flush()
	}, func() error {
		if err := flush(); err != nil {
			return err
		}
		return out.Close()
	}}
}
