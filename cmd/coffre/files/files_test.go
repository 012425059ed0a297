package files

import "testing"

// A text that an editor saved with a byte-order mark is the text without it.
func TestF15TextWithAByteOrderMark(t *testing.T) {
	for file, want := range map[string]string{
		"x": "x", "x\n": "x", " x\r\n": "x", "\ufeffx\r\n": "x", "\xef\xbb\xbf x y \n": "x y", "": "", "\ufeff": "", "x\ufeff": "x\ufeff",
	} {
		if got := Text([]byte(file)); got != want {
			t.Errorf("%q is %q, want %q", file, got, want)
		}
	}
}
