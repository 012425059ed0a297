package coffre_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var caseRow = regexp.MustCompile(`^\| F([1-9][0-9]*) \| (.+) \| (.+) \|$`)

// lastCase is the number of the last case, F43.
const lastCase = 43

// TestCasesTable holds docs/cases.md to the tests that it names, and to having every case.
func TestCasesTable(t *testing.T) {
	table, err := os.ReadFile("docs/cases.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testsByPlace(t)
	told := make(map[string]bool)
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
		told[row[1]] = true
		for test := range strings.SplitSeq(row[3], "<br>") {
			if !tests[test] {
				t.Errorf("F%s: there is no %s", row[1], test)
			}
		}
	}
	for n := 1; n <= lastCase; n++ {
		if !told[strconv.Itoa(n)] {
			t.Errorf("docs/cases.md does not tell of F%d", n)
		}
	}
}
