package vaulttest

import (
	"os"
	"testing"
)

// TestServerIsBuilt is also how to build the server ahead of other tests.
func TestServerIsBuilt(t *testing.T) {
	path, err := Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o100 == 0 {
		t.Fatalf("%s: %v", path, err)
	}
}
