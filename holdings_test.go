package coffre_test

import (
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const holdingsFile = "handlers/api/processing_holdings.json"

var (
	anyTable  = regexp.MustCompile(`CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+) \(`)
	modelName = regexp.MustCompile(`\) Name\(\) string\s*\{ return "([a-z]+)" \}`)
	ourKinds  = regexp.MustCompile(`(?s)func Ours\(category string\) bool \{.*?case (.*?):`)
	inBraces  = regexp.MustCompile(`\s*\([^)]*\)`)
)

// What the vault keeps where, under which key and until when (the annex of the register of
// processing) names every kind of stream, every table, every read model and every key of
// docs/keys.md, and nothing that is not there.
func TestTheAnnexOfTheRegisterIsComplete(t *testing.T) {
	content, err := os.ReadFile(holdingsFile)
	if err != nil {
		t.Fatal(err)
	}
	var holdings []struct {
		Kind, End                             string
		Places, Keys, Streams, Tables, Models []string
	}
	if err := json.Unmarshal(content, &holdings); err != nil {
		t.Fatal(err)
	}
	said, seen := map[string][]string{}, map[string]bool{}
	for _, h := range holdings {
		open := h.Kind == "traffic" // it names no citizen, and needs no key
		if h.Kind == "" || h.End == "" || len(h.Places) == 0 || len(h.Keys) == 0 && !open || seen[h.Kind] {
			t.Errorf("%+v is not complete, or there twice", h)
		}
		seen[h.Kind] = true
		said["key"] = append(said["key"], h.Keys...)
		said["stream"] = append(said["stream"], h.Streams...)
		said["table"] = append(said["table"], h.Tables...)
		said["read model"] = append(said["read model"], h.Models...)
	}
	have := kept(t)
	have["key"] = surveyedNames(t)
	for what, least := range map[string]int{"key": 24, "stream": 10, "table": 40, "read model": 6} {
		if len(have[what]) < least {
			t.Errorf("only %d of %s: this test looks in the wrong place: %q", len(have[what]), what, have[what])
		}
		for _, name := range have[what] {
			if !slices.Contains(said[what], name) {
				t.Errorf("the %s %q is missing in %s", what, name, holdingsFile)
			}
		}
		for _, name := range said[what] {
			if !slices.Contains(have[what], name) {
				t.Errorf("%s names the %s %q, which is not there", holdingsFile, what, name)
			}
		}
	}
}

// kept finds in the product's code what is kept.
func kept(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, p := range goFiles(t, false) {
		dir := path.Dir(p)
		if strings.HasSuffix(dir, "test") || strings.HasSuffix(dir, "/bench") {
			continue
		}
		content, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range modelName.FindAllSubmatch(content, -1) {
			if strings.HasPrefix(p, "projections/") {
				found["read model"] = append(found["read model"], string(m[1]))
			}
		}
		for _, m := range ourKinds.FindAllSubmatch(content, -1) {
			for name := range strings.SplitSeq(string(m[1]), ",") {
				found["stream"] = append(found["stream"], strings.Trim(name, ` "`))
			}
		}
		if strings.HasPrefix(p, "projections/") && dir != "projections/pgmodels" {
			continue // tables of read models go with their model
		}
		for _, m := range anyTable.FindAllSubmatch(content, -1) {
			found["table"] = append(found["table"], string(m[1]))
		}
	}
	for what, names := range found {
		slices.Sort(names)
		found[what] = slices.Compact(names)
	}
	return found
}

// surveyedNames are the first cells of the survey of keys, without quotes and what kind of key
// each is.
func surveyedNames(t *testing.T) (names []string) {
	t.Helper()
	content, err := os.ReadFile(keysFile)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(content), "\n## Every key\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| key |") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " |")
		names = append(names, strings.ReplaceAll(inBraces.ReplaceAllString(cell, ""), "`", ""))
	}
	return names
}
