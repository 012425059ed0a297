package vocabulary_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	. "coffre/projections/vocabulary"
)

func TestTriples(t *testing.T) {
	const s, p = `<http://x/s> `, `<http://x/p> `
	for line, want := range map[string]string{
		s + p + `"a" .`:                                 "http://x/s|a|",
		s + p + `"a"@fr.`:                               "http://x/s|a|fr",
		s + p + `"a"@FR-be . `:                          "http://x/s|a|fr-be",
		s + p + `"a"^^<http://x/t> . # why`:             "http://x/s|a|",
		"\t" + s + "\t" + p + `<http://x/o> .`:          "http://x/s|http://x/o|",
		`_:b ` + p + `_:c .`:                            "_:b|_:c|",
		s + p + `"\u00e9\U0001F600\t\"\\ \n\r\b\f\'" .`: "http://x/s|é😀\t\"\\ \n\r\b\f'|",
		`<http://x/\u00e9> ` + p + `"" .`:               "http://x/é||",
		"":                                              "",
		"  # remark":                                    "",
		s + p + `"a"`:                                   "error",
		s + p + `"a" . more`:                            "error",
		s + p + `"a`:                                    "error",
		s + p + `"a\" .`:                                "error",
		s + p + `"\q" .`:                                "error",
		s + p + `"\u00g0" .`:                            "error",
		s + p + `"\uD800" .`:                            "error",
		s + p + `"\U00110000" .`:                        "error",
		s + p + `"\u12" .`:                              "error",
		s + p + `"a"@ .`:                                "error",
		s + p + `"a"^^x .`:                              "error",
		s + `"p" "a" .`:                                 "error",
		`"s" ` + p + `"a" .`:                            "error",
		`<http://x/s ` + p:                              "error",
		s + p + `_: .`:                                  "error",
		s + p + "\"\xff\" .":                            "error",
		s + p:                                           "error",
	} {
		got := ""
		err := ReadTriples(strings.NewReader(line), func(t Triple) { got = t.Subject() + "|" + t.Object() + "|" + t.Language() })
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", line, got, want, err)
		}
	}
}

func TestConceptsKeepTheirFirstLabel(t *testing.T) {
	const label = `<http://www.w3.org/2004/02/skos/core#prefLabel>`
	got, err := ReadConcepts(strings.NewReader(strings.Join([]string{
		`<http://vocab.belgif.be/auth/s/A1#id> ` + label + ` " first "@nl .`,
		`<http://vocab.belgif.be/auth/s/A1#id> ` + label + ` "second"@nl .`,
		`<http://vocab.belgif.be/auth/s/A1#id> ` + label + ` "elsewhere"@es .`,
		`<http://vocab.belgif.be/auth/s/B> ` + label + ` "b"@de .`,
		`<http://vocab.belgif.be/auth/other/C#id> ` + label + ` "c"@de .`,
		`<http://vocab.belgif.be/auth/s/A1#id> <http://www.w3.org/2004/02/skos/core#note> "a note"@en .`,
	}, "\n")), "s")
	if err != nil || len(got) != 2 || got["A1"].NL != "first" || got["A1"].EN != "" || got["B"].DE != "b" {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzTriples: whatever comes, statements are made of UTF-8, and what was read
// once is read again the same.
func FuzzTriples(f *testing.F) {
	for _, s := range []string{
		`<http://x/s> <http://x/p> "a"@fr.`, `_:b <http://x/p> "\u00e9"^^<http://x/t> . # c`, "#\n\n<a> <b> <c> .\n<a> <b> \"\\U0001F600\" .", `<a> <b> "\`, `<a> <b> "\u`, `<a><b>"c"@e-.`, "_:<a> <b> _:.",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var first []Triple
		err := ReadTriples(strings.NewReader(text), func(tr Triple) { first = append(first, tr) })
		n := 0
		again := ReadTriples(strings.NewReader(text), func(tr Triple) {
			if n >= len(first) || tr != first[n] {
				t.Fatal("two readings differ")
			}
			n++
		})
		if (err == nil) != (again == nil) || n != len(first) {
			t.Fatal("two readings differ")
		}
		for _, tr := range first {
			if !utf8.ValidString(tr.Subject() + tr.Object() + tr.Language()) {
				t.Fatal("a statement is not UTF-8")
			}
		}
	})
}
