package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

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

// A file that comes while another is written under its name is not replaced by it.
func TestWriteNewReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write := func(w io.Writer) error { _, err := io.WriteString(w, "ours"); return err }
	if err := WriteNew(path, func(w io.Writer) error {
		return errors.Join(write(w), os.WriteFile(path, []byte("theirs"), 0o600))
	}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that came meanwhile: %v", err)
	}
	if err := WriteNew(path, func(io.Writer) error { t.Error("it is written"); return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "theirs" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if err := WriteNew(path+"2", write); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path + "2"); err != nil || string(b) != "ours" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
