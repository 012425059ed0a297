package edge

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Text of the contract's own members, in a body as in parameters, holds nothing that a screen or
// a log would obey.
func TestF36UnprintableTextIsRefused(t *testing.T) {
	s := &shape{kind: text, min: 0}
	for value, bad := range map[string]bool{
		"2026/4711": false, "a\tb\r\nc": false, "\u00e9 \u05e9\u05dc\u05d5\u05dd \u200f": false,
		"a\x00": true, "a\x1b[2J": true, "a\x7f": true, "a\u0085": true, "a\u202eb": true, "a\u2066b": true,
	} {
		if v := s.judge(value); (v != nil) != bad {
			t.Errorf("%q: %+v", value, v)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if v := s.read(raw); (len(v) > 0) != bad {
			t.Errorf("%q in a body: %+v", value, v)
		}
	}
}

// Each text that a request can carry, in a body, a query or a header, is bounded, and one that
// has to say something is refused when it is blank, holds a control character or turns the
// direction of text.
func TestEveryTextOfARequestSaysSomethingThatCanBeShown(t *testing.T) {
	seen := 0
	judged := make(map[*shape]bool)
	var walk func(place string, s *shape)
	walk = func(place string, s *shape) {
		switch {
		case judged[s]:
			return
		case s.kind == array:
			walk(place+"[]", s.item)
		}
		judged[s] = true
		for name, m := range s.members {
			walk(place+"."+name, m.shape)
		}
		if s.kind != text {
			return
		}
		free := s.check == nil && s.pattern == nil && len(s.enum) == 0
		seen++
		if free && !s.bounded {
			t.Errorf("%s has no bound", place)
		}
		length := int(max(s.min, 1))
		for _, c := range []string{"\x00", "\x1b", "\x7f", "\u0085", "\u202a", "\u202e", "\u2066", "\u2069"} {
			if s.judge(strings.Repeat("a", length)+c) == nil {
				t.Errorf("%s takes %q", place, c)
			}
		}
		for _, blank := range []string{" ", "\t", "\n", "\u00a0", "\u200b", "\u2060", "\u3000", "\u3164", "\ufeff", "\u2800"} {
			if s.min > 0 && s.judge(strings.Repeat(blank, length)) == nil {
				t.Errorf("%s takes nothing but %q", place, blank)
			}
		}
	}
	for _, o := range operations() {
		if o.body != nil {
			walk(o.id, o.body)
		}
		for _, p := range slices.Concat(o.header, slices.Collect(maps.Values(o.query))) {
			walk(o.id+"?"+p.name, p.shape)
		}
	}
	if seen < 40 {
		t.Fatalf("only %d texts", seen)
	}
}
