package s3test

import "testing"

// TestServerIsBuilt is also how to build the server ahead of other tests.
func TestServerIsBuilt(t *testing.T) {
	if _, err := Binary(t.Context()); err != nil {
		t.Fatal(err)
	}
}
