package work

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"coffre/handlers/contract"
)

var update = flag.Bool("update", false, "write the tables of columns into docs/exports.md")

const columnsBegin, columnsEnd = "<!-- columns: made by a test -->\n", "<!-- end of columns -->\n"

// columnsTold returns the tables of docs/exports.md: every column of every kind.
func columnsTold() string {
	var b strings.Builder
	types := map[string]string{"text": "text", "digits": "text of digits", "count": "count", "moment": "moment, UTC", "words": "list of text"}
	for _, kind := range slices.Sorted(maps.Keys(sheets)) {
		fmt.Fprintf(&b, "\n### %s\n\n| column | type | holds |\n|---|---|---|\n", kind)
		for _, c := range sheets[kind].columns() {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, types[c.Type], c.About)
		}
	}
	return b.String() + "\n"
}

// docs/exports.md tells every column of every kind of export, as the code has it.
func TestExportsPageHasEveryColumn(t *testing.T) {
	const page = "../../docs/exports.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), columnsBegin)
	told, after, also := strings.Cut(rest, columnsEnd)
	if !ok || !also {
		t.Fatal("the page has no place for its columns")
	}
	if want := columnsTold(); told != want {
		if !*update {
			t.Fatal("the columns are others: go test ./handlers/work -run TestExportsPageHasEveryColumn -update")
		}
		if err := os.WriteFile(page, []byte(before+columnsBegin+want+columnsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []contract.ExportKind{contract.ExportKindConsentLog, contract.ExportKindRegister, contract.ExportKindRefusals, contract.ExportKindAccessLog, contract.ExportKindAuditTrail} {
		if sheets[kind] == nil {
			t.Errorf("no export of %s", kind)
		}
	}
}

// No column is called by a word that SQL:2023, PostgreSQL, MySQL, SQLite, Oracle, SQL Server or
// DuckDB reserves, so that a file that was loaded can be asked without quotes.
func TestColumnsAreNoReservedWords(t *testing.T) {
	b, err := os.ReadFile("testdata/reserved.txt")
	if err != nil {
		t.Fatal(err)
	}
	reserved := strings.Fields(string(b))
	if len(reserved) < 500 || !slices.Contains(reserved, "at") {
		t.Fatalf("%d words", len(reserved))
	}
	for kind, s := range sheets {
		for _, c := range s.columns() {
			if slices.Contains(reserved, strings.ToLower(c.Name)) {
				t.Errorf("%s: %s is reserved", kind, c.Name)
			}
			if strings.Contains(c.Name, "citizenId") {
				t.Errorf("%s: %s", kind, c.Name)
			}
		}
	}
}
