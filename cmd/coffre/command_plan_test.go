package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// docs/scale.md shows what the command says without a flag.
func TestPlanIsTheOneOfTheDocument(t *testing.T) {
	var out, said bytes.Buffer
	if code := run(t.Context(), terminal{Out: &out, Err: &said}, []string{"plan"}); code != 0 {
		t.Fatal(code, said.String())
	}
	text, err := os.ReadFile("../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```\n"+out.String()+"```\n") {
		t.Errorf("docs/scale.md has another plan than\n%s", out.String())
	}
}

// Values are written so that nobody takes a day for an hour.
func TestRoundedForPeople(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "s", "0 s"}, {59.94, "s", "59.9 s"}, {60, "s", "1 min"}, {7200, "s", "2 h"}, {47.9 * 3600, "s", "47.9 h"}, {72 * 3600, "s", "3 days"},
		{1, "bytes", "1 B"}, {1500, "bytes", "1500 B"}, {1.5e9, "bytes", "1.5 GB"}, {999.6e9, "bytes", "1000 GB"}, {2e13, "bytes", "20 TB"},
		{999_999, "events", "999999"}, {1.234e6, "events", "1.23 million"}, {1234e6, "events", "1234 million"},
		{100, "1/s", "100 a second"}, {10, "processes", "10"}, {0.104, "cores", "0.1 cores"}, {211, "MiB", "211 MiB"},
	} {
		if got := rounded(c.value, c.unit); got != c.want {
			t.Errorf("%g %s: %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}
