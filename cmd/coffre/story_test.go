package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/eventstore/codec"
	"coffre/handlers/contract"
)

// formNumber is how a sample's file says of which form it is.
var formNumber = regexp.MustCompile(`\.[0-9]+\.json$`)

// TestEveryEventHasASentence tells the golden sample of every type there is.
func TestEveryEventHasASentence(t *testing.T) {
	var all strings.Builder
	for _, path := range sampleEvents(t) {
		name := formNumber.ReplaceAllString(filepath.Base(path), "")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var sample struct {
			Clear    jsontext.Value `json:"clear"`
			Personal jsontext.Value `json:"personal"`
		}
		if err := json.Unmarshal(b, &sample); err != nil {
			t.Fatal(err)
		}
		if sentences[name] == nil {
			t.Errorf("%s has no sentence", name)
		}
		said := sentence(contract.LogEvent{Type: name, Stream: "sample", Revision: 3, Facts: contract.ClearFacts(sample.Clear), Actor: contract.EventActor{Role: contract.ActorRoleOperator}})
		if strings.Contains(said, "<nil>") || strings.Contains(said, "  ") && !strings.Contains(said, "  [sample@3]") {
			t.Errorf("%s: %q", name, said)
		}
		all.WriteString(name + ": " + said + "\n")
	}
	golden(t, "story.txt", all.String())
	for name := range codec.Catalog.Names() {
		name, _, _ = strings.Cut(name, "/")
		if sentences[name] == nil {
			t.Errorf("%s has no sentence", name)
		}
	}
}

func sampleEvents(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../eventstore/codec/testdata/events/*.json")
	if err != nil || len(all) < 20 {
		t.Fatalf("%d samples, %v", len(all), err)
	}
	return all
}

// TestSentenceOfFactsThatAreMissing: an event of another version, or one with
// facts that are not JSON objects, is told all the same.
func TestSentenceOfFactsThatAreMissing(t *testing.T) {
	for name := range sentences {
		for _, facts := range []string{`{}`, `[]`, `{"citizen":{},"types":[1,null],"terms":"x"}`} {
			if said := sentence(contract.LogEvent{Type: name, Facts: contract.ClearFacts(facts)}); said == "" {
				t.Errorf("%s is not told", name)
			}
		}
	}
	said := sentence(contract.LogEvent{Type: "document.blessed", Stream: "document-1", Facts: contract.ClearFacts(`{"by":"hand","at":7}`)})
	if want := "document.blessed: at 7, by hand  [document-1@0]"; said != want {
		t.Errorf("%q, want %q", said, want)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain é ß 漢":               "plain é ß 漢",
		"a\x1b[31mred\x1b[0m":       "a[31mred[0m",
		"bell\a back\b del\x7f":     "bell back del",
		"two\nlines\tand a tab":     "two lines and a tab",
		"c1\u009b31m":               "c131m",
		"\u202egnp.exe":             "gnp.exe", // right-to-left override
		"zero\u200bwidth\ufeff":     "zerowidth",
		"para\u2029graph\u2028line": "paragraphline",
		"not \xff UTF-8":            "not  UTF-8",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
		said := sentence(contract.LogEvent{Type: "citizen.registered", Stream: "s", Facts: contract.ClearFacts(must1(json.Marshal(map[string]string{"citizen": strings.ToValidUTF8(in, "")})))})
		if said != printable(said) {
			t.Errorf("a sentence lets %q through: %q", in, said)
		}
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestJSONLinesAreSafeOnATerminal: what is escaped still means the same.
func TestJSONLinesAreSafeOnATerminal(t *testing.T) {
	var out strings.Builder
	in := map[string]string{"a": "\x1b[31m \u009b \u202e \u2028 \U000e0001 é"}
	if err := (terminal{Out: &out}).printJSON(in); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSuffix(out.String(), "\n")
	if strings.ContainsAny(line, "\x1b\u009b\u202e\u2028\U000e0001\n") {
		t.Errorf("%q", line)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(line), &back); err != nil || back["a"] != in["a"] {
		t.Errorf("%q, %v", back, err)
	}
}

// A sentence says on whose behalf something was done where that is somebody else, and never
// that somebody acted for themselves.
func TestSentencesNameWhomACallerActedFor(t *testing.T) {
	facts := contract.ClearFacts(`{"consumer":"0203430576","reason":"consentWithdrawn"}`)
	system := contract.EventActor{Role: contract.ActorRoleSystem}
	integrator := contract.EventActor{Role: contract.ActorRoleConsumer, Organization: "0206731645"}
	for _, tc := range []struct {
		actor contract.EventActor
		of    contract.EnterpriseNumber
		said  bool
	}{{system, "0203430576", false}, {system, "0206731645", true}, {integrator, "0203430576", true}, {integrator, "0206731645", false}, {system, "", false}} {
		got := sentence(contract.LogEvent{Type: "access.refused", Actor: tc.actor, OnBehalfOf: tc.of, Facts: facts})
		if strings.Contains(got, "on behalf of") != tc.said {
			t.Errorf("%s for %q: %s", tc.actor.Role, tc.of, got)
		}
	}
}
