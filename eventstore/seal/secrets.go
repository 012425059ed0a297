package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// Secrets seals what the vault itself has to keep and show again to nobody: the addresses of
// receivers and the keys that sign for them. The key derives from one of the deployment's, so it
// goes with a copy of the key ring, and what is sealed is nothing without. It may be used
// concurrently.
type Secrets struct{ aead cipher.AEAD }

// ErrSecretUnreadable reports bytes that were not sealed under this ring for this use.
var ErrSecretUnreadable = errors.New("what was sealed cannot be opened with this key ring")

// Secrets returns what seals and opens the vault's own secrets.
func (r *Ring) Secrets() Secrets {
	k := r.DeploymentKey(PageTokenKey).MAC([]byte("coffre/vault-secrets/v1"))
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for another block
	}
	return Secrets{aead}
}

// Seal returns plain sealed for one use, a name that no other secret has.
func (s Secrets) Seal(use string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(use))
}

// Open returns what Seal sealed for the same use; its error is ErrSecretUnreadable.
func (s Secrets) Open(use string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(use))
	if err != nil {
		return nil, ErrSecretUnreadable
	}
	return plain, nil
}
