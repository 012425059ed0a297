package vaulttest

import (
	"testing"
)

// Whoever runs this first builds the binary, which takes some minutes.
func TestServerIsBuilt(t *testing.T) {
	path, err := Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !built(path) {
		t.Fatal("there is no binary at", path)
	}
}
