package table

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxSheetRows is the number of rows that a sheet of Office Open XML has at most.
const maxSheetRows = 1 << 20

// xlsxLines writes a workbook of Office Open XML (ISO/IEC 29500), with the columns of CSV.
// Every value is a text cell, so that a spreadsheet keeps the zeros that numbers of
// organisations begin with and runs no value as a formula; counts are numbers. Rows beyond
// what a sheet has go to the next one, each with the line of names.
type xlsxLines struct {
	to      *zip.Writer
	name    string // of the sheets, which are numbered
	columns []Column
	sheet   io.Writer // the one being written
	sheets  int
	rows    int // of that sheet
	most    int // rows of a sheet
	line    bytes.Buffer
	number  []byte // of the row, in digits
}

func newXLSX(w io.Writer, sheet string, columns []Column) lines {
	return &xlsxLines{to: zip.NewWriter(w), name: sheet, columns: columns, most: maxSheetRows}
}

const xmlDeclaration = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

// begin starts the next sheet.
func (x *xlsxLines) begin() error {
	x.sheets++
	x.rows = 0
	var err error
	if x.sheet, err = x.to.Create(fmt.Sprintf("xl/worksheets/sheet%d.xml", x.sheets)); err != nil {
		return err
	}
	if _, err := io.WriteString(x.sheet, xmlDeclaration+`<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`); err != nil {
		return err
	}
	names := make([][]byte, len(x.columns))
	for i, c := range x.columns {
		names[i] = []byte(c.Name)
	}
	return x.row(names, false)
}

func (x *xlsxLines) finish() error {
	_, err := io.WriteString(x.sheet, `</sheetData></worksheet>`)
	return err
}

// row writes one line of cells, names or values, each with its place: without it some readers
// refuse the sheet.
func (x *xlsxLines) row(cells [][]byte, values bool) error {
	b := &x.line
	b.Reset()
	x.rows++
	x.number = strconv.AppendInt(x.number[:0], int64(x.rows), 10)
	b.WriteString(`<row r="`)
	b.Write(x.number)
	b.WriteString(`">`)
	for n, value := range cells {
		b.WriteString(`<c r="`)
		b.WriteString(letters(n))
		b.Write(x.number)
		switch {
		case len(value) == 0:
			b.WriteString(`"/>`)
		case values && x.columns[n].Type == "count":
			b.WriteString(`"><v>`)
			b.Write(value)
			b.WriteString("</v></c>")
		default:
			b.WriteString(`" t="inlineStr"><is><t xml:space="preserve">`)
			if err := xml.EscapeText(b, value); err != nil {
				return err
			}
			b.WriteString("</t></is></c>")
		}
	}
	b.WriteString("</row>")
	_, err := x.sheet.Write(b.Bytes())
	return err
}

// letters names a column as a spreadsheet does: A to Z, AA to ZZ. No kind of row has more.
func letters(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return string(rune('A'+n/26-1)) + string(rune('A'+n%26))
}

func (x *xlsxLines) write(cells [][]byte) error {
	if x.sheets == 0 || x.rows == x.most {
		if x.sheets > 0 {
			if err := x.finish(); err != nil {
				return err
			}
		}
		if err := x.begin(); err != nil {
			return err
		}
	}
	return x.row(cells, true)
}

// end writes what names the sheets, and the end of the archive.
func (x *xlsxLines) end() error {
	if x.sheets == 0 {
		if err := x.begin(); err != nil {
			return err
		}
	}
	if err := x.finish(); err != nil {
		return err
	}
	const relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	var types, sheets, links strings.Builder
	for n := range x.sheets {
		fmt.Fprintf(&types, `<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`, n+1)
		fmt.Fprintf(&sheets, `<sheet name="%s %d" sheetId="%d" r:id="rId%d"/>`, x.name, n+1, n+1, n+1)
		fmt.Fprintf(&links, `<Relationship Id="rId%d" Type="%s/worksheet" Target="worksheets/sheet%d.xml"/>`, n+1, relations, n+1)
	}
	for _, part := range []struct{ name, content string }{
		{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` + types.String() + `</Types>`},
		{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="` + relations + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="` + relations + `"><sheets>` + sheets.String() + `</sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` + links.String() + `</Relationships>`},
	} {
		w, err := x.to.Create(part.name)
		if err == nil {
			_, err = io.WriteString(w, xmlDeclaration+part.content)
		}
		if err != nil {
			return err
		}
	}
	return x.to.Close()
}
