package work

import (
	"bytes"
	"encoding/csv"
	"testing"

	"coffre/handlers/contract"
)

// No value in a CSV export begins like a formula of a spreadsheet.
func TestCSVHoldsNoFormula(t *testing.T) {
	for value, want := range map[string]string{
		"=HYPERLINK(1)": "'=HYPERLINK(1)", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'=1", "\x00=1": "'\x00=1",
		"": "", "a=1": "a=1", "1-2": "1-2", "'=1": "'=1", "é": "é",
	} {
		var out bytes.Buffer
		rows := newCSVRows(&out)
		if err := rows.write(contract.ConsentLogItem{Purpose: contract.Purpose(value)}); err != nil {
			t.Fatal(err)
		}
		if err := rows.end(); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if err != nil || lines[1][5] != want { // a lone CR is not kept in a file of CRLF lines
			t.Errorf("%q became %q, want %q, %v", value, lines[1][5], want, err)
		}
	}
}
