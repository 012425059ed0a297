package table

import (
	"io"
	"slices"
	"strings"

	"coffre/handlers/contract"
)

// csvLines writes CSV by RFC 4180 in UTF-8: a line of names first, CRLF, quotes where needed.
// The dialect for spreadsheets begins with a byte-order mark, has semicolons between values as
// the spreadsheets of this country do, and writes numbers of organisations with the dots that
// people write them with, so that a spreadsheet takes them for text and keeps the first zero.
type csvLines struct {
	to        io.Writer
	columns   []Column
	separator byte
	dots      bool
	quoted    [256]bool // bytes for which a value stands in quotes
	line      []byte
	wrong     error // of the line of names
}

var separators = map[contract.ExportSeparator]byte{
	contract.ExportSeparatorComma: ',', contract.ExportSeparatorSemicolon: ';', contract.ExportSeparatorTab: '\t',
}

const byteOrderMark = "\uFEFF"

func newCSV(w io.Writer, f Form, columns []Column) lines {
	c := &csvLines{to: w, columns: columns, separator: ',', dots: f.Dialect == contract.ExportDialectSpreadsheet}
	if c.dots {
		c.separator = ';'
		_, c.wrong = io.WriteString(w, byteOrderMark)
	}
	if s, ok := separators[f.Separator]; ok {
		c.separator = s
	}
	for _, b := range []byte{'"', '\r', '\n', c.separator} {
		c.quoted[b] = true
	}
	for i, column := range columns {
		c.cell(i, []byte(column.Name))
	}
	if c.wrong == nil {
		c.wrong = c.endLine()
	}
	return c
}

func (c *csvLines) write(cells [][]byte) error {
	for i, cell := range cells {
		if c.dots && c.columns[i].Type == "digits" {
			cell = dotted(cell)
		}
		c.cell(i, cell)
	}
	if c.wrong != nil {
		return c.wrong
	}
	return c.endLine()
}

// cell adds one value to the line. What a spreadsheet would run as a formula has ' before it.
func (c *csvLines) cell(i int, value []byte) {
	if i > 0 {
		c.line = append(c.line, c.separator)
	}
	formula := len(value) > 0 && strings.IndexByte("=+-@\t\r\n\x00", value[0]) >= 0
	if !formula && !slices.ContainsFunc(value, func(b byte) bool { return c.quoted[b] }) {
		c.line = append(c.line, value...)
		return
	}
	c.line = append(c.line, '"')
	if formula {
		c.line = append(c.line, '\'')
	}
	for _, b := range value {
		if b == '"' {
			c.line = append(c.line, '"')
		}
		c.line = append(c.line, b)
	}
	c.line = append(c.line, '"')
}

func (c *csvLines) endLine() error {
	c.line = append(c.line, '\r', '\n')
	_, err := c.to.Write(c.line)
	c.line = c.line[:0]
	return err
}

func (c *csvLines) end() error { return c.wrong }

// dotted writes the ten digits of an enterprise number as 0123.456.789, and anything else as it
// is.
func dotted(digits []byte) []byte {
	if len(digits) != 10 {
		return digits
	}
	all := make([]byte, 0, 12)
	all = append(append(all, digits[:4]...), '.')
	all = append(append(all, digits[4:7]...), '.')
	return append(all, digits[7:]...)
}
