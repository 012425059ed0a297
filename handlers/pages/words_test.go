package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffre/handlers/edge"
)

var placeInText = regexp.MustCompile(`\{\d\}`)

// madeFamilies are those of texts whose keys are made of a value.
var madeFamilies = []string{"state", "wrong", "look", "outcome", "list", "reader", "document", "action", "scope", "notices", "reasonOfLookup", "correction", "correctionState", "lastRead", "filter", "total", "exportKind", "exportFormat", "task", "inbox", "scopeAsked", "signInAs", "refused", "event", "health", "model", "rotation", "trafficRole", "act", "actAbout", "connect", "connectAbout", "grantActions", "driftState", "driftModel", "driftHindrance", "driftRow"}

// Every language has every text with the same places, and every text is used.
func TestEveryPageSpeaksEveryLanguage(t *testing.T) {
	first := allTexts["nl"]
	if len(allTexts) != len(edge.Languages) || len(first) < 40 {
		t.Fatalf("%d languages, %d texts", len(allTexts), len(first))
	}
	for lang, table := range allTexts {
		for key, text := range first {
			other := table[key]
			want, got := placeInText.FindAllString(text, -1), placeInText.FindAllString(other, -1)
			slices.Sort(want)
			slices.Sort(got)
			if other == "" || !slices.Equal(want, got) {
				t.Errorf("%s: %s is %q, in Dutch %q", lang, key, other, text)
			}
		}
		if len(table) != len(first) {
			t.Errorf("%s has texts that Dutch has not", lang)
		}
	}
	var code strings.Builder
	for _, pattern := range []string{"*.go", "*.templ"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	for key := range first {
		family, _, _ := strings.Cut(key, ".")
		if made := slices.Contains(madeFamilies, family); !made && !strings.Contains(code.String(), `"`+key+`"`) {
			t.Errorf("no page says %s", key)
		}
	}
}

// The stylesheet is small, and another one under another name.
func TestStylesheetIsSmall(t *testing.T) {
	if len(stylesheet.smaller) > 4096 || len(stylesheet.smaller) >= len(stylesheet.plain) {
		t.Errorf("%d bytes, compressed %d", len(stylesheet.plain), len(stylesheet.smaller))
	}
	if other := newAsset("/assets/style-", ".css", "text/css", append([]byte("/**/"), style...)); other.path == stylesheet.path {
		t.Error("another stylesheet has the same name")
	}
}
