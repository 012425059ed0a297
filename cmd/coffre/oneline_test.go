package main

import "testing"

// Several mistakes at once are sentences apart in one line, whoever joined them.
func TestOneLineKeepsSentencesApart(t *testing.T) {
	for text, want := range map[string]string{
		"one":                         "one",
		"A is not set\nB is not set":  "A is not set; B is not set",
		"connect:\n\tfirst\n\tsecond": "connect: first; second",
		"end\n":                       "end",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}
