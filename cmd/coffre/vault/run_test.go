package vault

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// A vault whose registry cannot be served does not open, and says why; what was opened
// for it is closed, so that it opens as soon as there is one.
func TestOpenWithoutARegistry(t *testing.T) {
	dir := DataDir(t.TempDir())
	for range 2 {
		v, err := Open(t.Context(), dir, Options{Registry: fstest.MapFS{}})
		if err == nil {
			v.Close()
			t.Fatal("it opens without a registry")
		}
		if !strings.HasPrefix(err.Error(), "load the registry: ") {
			t.Errorf("it says %q", err)
		}
	}
	v, err := Open(t.Context(), dir, Options{Registry: os.DirFS("../../../deploy/registry")})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}
