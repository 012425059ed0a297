package edge

import (
	"encoding/json"
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
		if v := s.read(raw); (v != nil) != bad {
			t.Errorf("%q in a body: %+v", value, v)
		}
	}
}
