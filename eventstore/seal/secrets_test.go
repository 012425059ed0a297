package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

// A secret is opened for the use that it was sealed for and no other, by this key ring and no
// other, and not once a bit of it is another.
func TestSecrets(t *testing.T) {
	ring, other := ringtest.New(t).Secrets(), ringtest.New(t).Secrets()
	plain := []byte("Canary")
	sealed := ring.Seal("one", plain)
	if got, err := ring.Open("one", sealed); err != nil || !bytes.Equal(got, plain) || bytes.Contains(sealed, plain) || bytes.Equal(sealed, ring.Seal("one", plain)) {
		t.Errorf("%q, %v", got, err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another use":      func() ([]byte, error) { return ring.Open("two", sealed) },
		"another ring":     func() ([]byte, error) { return other.Open("one", sealed) },
		"another bit":      func() ([]byte, error) { return ring.Open("one", flipped) },
		"nothing":          func() ([]byte, error) { return ring.Open("one", nil) },
		"less than it was": func() ([]byte, error) { return ring.Open("one", sealed[:20]) },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrSecretUnreadable) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
