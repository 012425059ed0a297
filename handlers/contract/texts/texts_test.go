package texts

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coffre/domain"
)

var place = regexp.MustCompile(`\{\d\}`)

// Every language has every text, each with the same places to fill.
func TestEveryLanguageHasEveryText(t *testing.T) {
	if len(all) != 4 || len(all[Fallback]) < 150 {
		t.Fatalf("%d languages, %d texts", len(all), len(all[Fallback]))
	}
	for lang, table := range all {
		for key, text := range all[Fallback] {
			other, there := table[key]
			if !there || other == "" {
				t.Errorf("%s: no text for %s", lang, key)
			}
			want, got := place.FindAllString(text, -1), place.FindAllString(other, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("%s: %s has places %v, not %v", lang, key, got, want)
			}
		}
		if len(table) != len(all[Fallback]) {
			t.Errorf("%s has texts that %s has not", lang, Fallback)
		}
	}
}

func TestADayAndAMomentAreBelgian(t *testing.T) {
	at := time.Date(2026, 12, 31, 23, 30, 5, 0, time.UTC)
	for lang, want := range map[domain.Language]string{
		"nl": "1 januari 2027 om 00:30:05", "fr": "1 janvier 2027 à 00:30:05", "de": "1. Januar 2027 um 00:30:05", "en": "1 January 2027 at 00:30:05", "ru": "1 januari 2027 om 00:30:05",
	} {
		if got := Moment(lang, at); got != want {
			t.Errorf("%s: %q", lang, got)
		}
	}
}

// What fills a place is never read as a place itself.
func TestAPlaceIsFilledOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringMatching(`[a-z{}01]*`).Draw(t, "a"), rapid.StringMatching(`[a-z{}01]*`).Draw(t, "b")
		if got := Of("en", "report.item", a, b); got != a+" "+b {
			t.Fatalf("%q, %q: %q", a, b, got)
		}
	})
}

func TestAKeyWithoutATextReadsAsItself(t *testing.T) {
	if got := Of("fr", "member.notYetWritten"); got != "member.notYetWritten" {
		t.Error(got)
	}
}
