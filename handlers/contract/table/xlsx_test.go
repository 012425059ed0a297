package table

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"testing"
	"time"

	"coffre/handlers/contract"
)

// sheetRow is one row of a sheet, as a reader of Office Open XML sees it.
type sheetRow struct {
	Number int `xml:"r,attr"`
	Cells  []struct {
		Place  string `xml:"r,attr"`
		Type   string `xml:"t,attr"`
		Text   string `xml:"is>t"`
		Number string `xml:"v"`
	} `xml:"c"`
}

// workbook returns the rows of every sheet.
func workbook(t *testing.T, file []byte) (sheets [][]sheetRow) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string, into any) {
		f, err := archive.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil || xml.Unmarshal(b, into) != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var book struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
		} `xml:"sheets>sheet"`
	}
	part("xl/workbook.xml", &book)
	for _, name := range []string{"[Content_Types].xml", "_rels/.rels", "xl/_rels/workbook.xml.rels"} {
		part(name, new(struct{}))
	}
	for n := range book.Sheets {
		var sheet struct {
			Rows []sheetRow `xml:"sheetData>row"`
		}
		part(fmt.Sprintf("xl/worksheets/sheet%d.xml", n+1), &sheet)
		sheets = append(sheets, sheet.Rows)
	}
	return sheets
}

// A number of an organisation is text in a workbook, so it keeps its first zero, and what a
// spreadsheet would run as a formula is text as well; a count is a number.
func TestF15NumbersOfOrganisationsKeepTheirZeroInSpreadsheets(t *testing.T) {
	file := written(t, Form{Format: contract.ExportFormatXlsx, Name: "s"}, sample{
		At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Consumer: "0203430576", Purpose: "=evil()<&>", DocumentTypes: []string{"a", "b"}, Uses: 7,
	})
	columns := Columns[sample]()
	sheets := workbook(t, file)
	if len(sheets) != 1 || len(sheets[0]) != 2 || len(sheets[0][1].Cells) != len(columns) {
		t.Fatalf("%+v", sheets)
	}
	for n, column := range columns {
		name := column.Name
		head, cell := sheets[0][0].Cells[n], sheets[0][1].Cells[n]
		if at := string(rune('A' + n)); head.Place != at+"1" || cell.Place != at+"2" {
			t.Errorf("column %d stands at %s and %s", n, head.Place, cell.Place)
		}
		if head.Text != name || head.Type != "inlineStr" {
			t.Errorf("column %d is %q of type %q", n, head.Text, head.Type)
		}
		switch want := map[string]string{"consumer": "0203430576", "purpose": "=evil()<&>", "at": "2026-01-02T03:04:05Z", "documentTypes": "a b"}[name]; {
		case name == "uses":
			if cell.Number != "7" || cell.Type != "" {
				t.Errorf("uses is %q of type %q", cell.Number, cell.Type)
			}
		case want != "":
			if cell.Text != want || cell.Type != "inlineStr" {
				t.Errorf("%s is %q of type %q", name, cell.Text, cell.Type)
			}
		}
	}
}

// More rows than a sheet has go to further sheets, none twice and none lost; no rows are a
// sheet with names alone.
func TestWorkbookOfManyRows(t *testing.T) {
	for rows, want := range map[int][]int{0: {1}, 1: {2}, 3: {4}, 4: {4, 2}, 7: {4, 4, 2}} {
		var file bytes.Buffer
		lines := newXLSX(&file, "p", Columns[struct {
			Purpose string `json:"purpose" parquet:"purpose" about:"a purpose"`
		}]()).(*xlsxLines)
		lines.most = 4
		for n := range rows {
			if err := lines.write([][]byte{fmt.Append(nil, "p", n)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := lines.end(); err != nil {
			t.Fatal(err)
		}
		sheets, next := workbook(t, file.Bytes()), 0
		if len(sheets) != len(want) {
			t.Fatalf("%d rows: %d sheets", rows, len(sheets))
		}
		for n, sheet := range sheets {
			if last := sheet[len(sheet)-1].Number; last != len(sheet) {
				t.Errorf("%d rows: the last of sheet %d has number %d", rows, n, last)
			}
			if len(sheet) != want[n] || sheet[0].Cells[0].Text != "purpose" {
				t.Errorf("%d rows: sheet %d has %d rows", rows, n, len(sheet))
			}
			for _, row := range sheet[1:] {
				if row.Cells[0].Text != fmt.Sprint("p", next) {
					t.Errorf("%d rows: %s instead of p%d", rows, row.Cells[0].Text, next)
				}
				next++
			}
		}
	}
}
