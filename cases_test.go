package coffre_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var caseRow = regexp.MustCompile(`^\| F([1-9][0-9]*) \| (.+) \| (.+) \|$`)

// TestCasesTable holds docs/cases.md to the tests that it names.
func TestCasesTable(t *testing.T) {
	table, err := os.ReadFile("docs/cases.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testsByPlace(t)
	rows := 0
	for line := range strings.Lines(string(table)) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "| F") {
			continue
		}
		row := caseRow.FindStringSubmatch(line)
		if row == nil {
			t.Errorf("%q: a row is a case, a sentence, and its tests", line)
			continue
		}
		rows++
		for test := range strings.SplitSeq(row[3], "<br>") {
			if !tests[test] {
				t.Errorf("F%s: there is no %s", row[1], test)
			}
		}
	}
	if rows == 0 {
		t.Error("docs/cases.md has no rows")
	}
}
