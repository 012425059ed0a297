package table

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"coffre/handlers/contract"
)

// sample is a row with a column of each type.
type sample struct {
	At            time.Time `json:"at,omitzero" parquet:"at,timestamp(microsecond:utc),optional" about:"a moment"`
	Consumer      Digits    `json:"consumer" parquet:"consumer" about:"a number of an organisation"`
	Purpose       string    `json:"purpose,omitzero" parquet:"purpose,optional" about:"a code"`
	DocumentTypes []string  `json:"documentTypes,omitzero" parquet:"documentTypes,list" about:"codes"`
	Uses          int       `json:"uses,omitzero" parquet:"uses,optional" about:"a count"`
}

// written returns the file of some rows.
func written(t *testing.T, f Form, rows ...sample) []byte {
	t.Helper()
	var out bytes.Buffer
	w := New[sample](f, &out)
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// No value in a CSV export begins like a formula of a spreadsheet, whatever separates values.
func TestCSVHoldsNoFormula(t *testing.T) {
	for _, separator := range []contract.ExportSeparator{"", contract.ExportSeparatorSemicolon, contract.ExportSeparatorTab} {
		for value, want := range map[string]string{
			"=HYPERLINK(1)": "'=HYPERLINK(1)", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\x00=1": "'\x00=1", "\n=1": "'\n=1",
			"": "", "a=1": "a=1", "1-2": "1-2", "'=1": "'=1", "é": "é", `a"b`: `a"b`, "a,b;c\td": "a,b;c\td", "a\nb": "a\nb",
		} {
			file := written(t, Form{Format: contract.ExportFormatCsv, Separator: separator}, sample{Purpose: value})
			in := csv.NewReader(bytes.NewReader(file))
			in.Comma = rune(separators[contract.ExportSeparatorComma])
			if separator != "" {
				in.Comma = rune(separators[separator])
			}
			lines, err := in.ReadAll()
			if err != nil || len(lines) != 2 || lines[1][2] != want {
				t.Errorf("%q became %q, want %q, %v", value, lines, want, err)
			}
		}
	}
	if file := written(t, Form{Format: contract.ExportFormatCsv}, sample{Purpose: "\r=1"}); !bytes.Contains(file, []byte("\"'\r=1\"")) {
		t.Errorf("a lone CR: %q", file) // which the reader above would drop
	}
}

// Lines end with CRLF, and values stand as RFC 4180 says; the dialect for spreadsheets has a
// byte-order mark, semicolons, and enterprise numbers that are text by their dots.
func TestCSVDialects(t *testing.T) {
	row := sample{At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Consumer: "0203430576", Purpose: "p", DocumentTypes: []string{"a", "b"}, Uses: 7}
	for _, c := range []struct {
		form Form
		want string
	}{
		{Form{}, "at,consumer,purpose,documentTypes,uses\r\n2026-01-02T03:04:05.000006Z,0203430576,p,a b,7\r\n,,,,\r\n"},
		{Form{Separator: contract.ExportSeparatorTab}, "at\tconsumer\tpurpose\tdocumentTypes\tuses\r\n2026-01-02T03:04:05.000006Z\t0203430576\tp\ta b\t7\r\n\t\t\t\t\r\n"},
		{Form{Dialect: contract.ExportDialectSpreadsheet}, "\uFEFFat;consumer;purpose;documentTypes;uses\r\n2026-01-02T03:04:05.000006Z;0203.430.576;p;a b;7\r\n;;;;\r\n"},
		{Form{Dialect: contract.ExportDialectSpreadsheet, Separator: contract.ExportSeparatorComma}, "\uFEFFat,consumer,purpose,documentTypes,uses\r\n2026-01-02T03:04:05.000006Z,0203.430.576,p,a b,7\r\n,,,,\r\n"},
	} {
		c.form.Format = contract.ExportFormatCsv
		if got := string(written(t, c.form, row, sample{})); got != c.want {
			t.Errorf("%+v:\n%q, want\n%q", c.form, got, c.want)
		}
	}
	if got := string(written(t, Form{Format: contract.ExportFormatCsv})); strings.Count(got, "\r\n") != 1 {
		t.Errorf("without rows: %q", got)
	}
}

// The same rows are the same bytes in every format.
func TestSameRowsSameBytes(t *testing.T) {
	rows := []sample{{At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Consumer: "0203430576", Purpose: "p", DocumentTypes: []string{"a", "b"}, Uses: 7}, {Consumer: "0671516647"}}
	for _, format := range []contract.ExportFormat{contract.ExportFormatCsv, contract.ExportFormatJsonl, contract.ExportFormatXlsx, contract.ExportFormatParquet} {
		f := Form{Format: format, Name: "s"}
		if !bytes.Equal(written(t, f, rows...), written(t, f, rows...)) {
			t.Errorf("%s differs", format)
		}
	}
}
