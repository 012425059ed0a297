package seal

import (
	"context"
	"crypto/ed25519"
	"errors"
)

// MaxBatch bounds the items of one call to a [KEK].
const MaxBatch = 1000

// WrapItem is a key to wrap.
type WrapItem struct {
	Plain []byte // 1 byte to 1 KiB
	AAD   []byte // what the key is for; it unwraps under the same AAD only
}

// UnwrapItem is a wrapped key with what it was wrapped for.
type UnwrapItem struct {
	Wrapped []byte
	AAD     []byte
}

// Wrapped is the answer for one item of Wrap or Rewrap.
type Wrapped struct {
	Bytes   []byte // opaque, at most 1.5 KiB for the largest item
	Version int    // of the key-encryption key it is wrapped by
	Err     error  // ErrRefused or ErrRetired; then Bytes is nil
}

// Unwrapped is the answer for one item of Unwrap.
type Unwrapped struct {
	Plain []byte // the caller's own; overwrite it when done
	Err   error  // ErrRefused or ErrRetired; then Plain is nil
}

// KEK is the port to a key-encryption key: it wraps other keys and never shows
// itself. All methods may be called concurrently, keep no reference to their
// arguments and return memory that is the caller's.
//
// A call takes 1 to [MaxBatch] items and answers one result per item, in order.
// When the call's error is not nil nothing is said about any item; it wraps
// eventstore.ErrKeysUnavailable when the keeper cannot be reached, is sealed or
// refuses us, or is ctx's error. A damaged item never spoils the others.
type KEK interface {
	// Wrap wraps each item under the latest version.
	Wrap(ctx context.Context, items []WrapItem) ([]Wrapped, error)

	// Unwrap opens each item under the version it was wrapped with.
	Unwrap(ctx context.Context, items []UnwrapItem) ([]Unwrapped, error)

	// Rewrap moves each item to the latest version; the caller sees no plaintext.
	Rewrap(ctx context.Context, items []UnwrapItem) ([]Wrapped, error)

	// Versions tells the state of rotation.
	Versions(ctx context.Context) (Versions, error)
}

// Versions of a key-encryption key, counted from 1.
type Versions struct {
	Latest        int // Wrap uses it
	MinDecryption int // older ones are refused, but may come back
	MinAvailable  int // older ones are destroyed
}

// KEKRotator changes the versions of a [KEK]. Its login at the keeper is not that of the
// process that seals and opens.
type KEKRotator interface {
	// Rotate makes a new latest version, durably, and returns it.
	Rotate(ctx context.Context) (int, error)

	// SetMinDecryption refuses versions below oldest, 1 <= oldest <= latest. Lowering it
	// brings back what was not trimmed.
	SetMinDecryption(ctx context.Context, oldest int) error

	// Trim destroys versions below oldest for good, 1 <= oldest <= the minimum for
	// decryption.
	Trim(ctx context.Context, oldest int) error
}

// Signer signs checkpoints and certificates with an Ed25519 key that never
// leaves its keeper.
type Signer interface {
	// Sign signs the message itself (no pre-hash) and names the key it used.
	Sign(ctx context.Context, message []byte) (signature []byte, keyID string, err error)

	// PublicKey returns the key of that name, or the one Sign uses now for "".
	PublicKey(ctx context.Context, keyID string) (ed25519.PublicKey, string, error)
}

// Errors of a key-encryption key.
var (
	// ErrRefused: the item was not wrapped by this key for this AAD, or is damaged.
	ErrRefused = errors.New("seal: wrapped key does not open for this use")
	// ErrRetired: the item's version is below the minimum for decryption.
	ErrRetired = errors.New("seal: wrapped key is of a retired version")
	// ErrBatch: a call with no item, too many, or an item no key-encryption key takes.
	ErrBatch = errors.New("seal: not a batch of 1 to 1000 keys")
	// ErrVersion: a version that does not exist or may not be chosen.
	ErrVersion = errors.New("seal: no such version of the key-encryption key")
	// ErrNoIdentity: this process was given no login for what was asked. It comes with
	// eventstore.ErrKeysUnavailable.
	ErrNoIdentity = errors.New("seal: this process has no identity that may do this")
	// ErrNoSigningKey: no signing key has that name.
	ErrNoSigningKey = errors.New("seal: no such signing key")
)

// maxPlain bounds the bytes of one key to wrap.
const maxPlain = 1 << 10

// CheckWrap returns ErrBatch for a batch that no [KEK] may take.
func CheckWrap(items []WrapItem) error {
	if len(items) == 0 || len(items) > MaxBatch {
		return ErrBatch
	}
	for _, item := range items {
		if len(item.Plain) == 0 || len(item.Plain) > maxPlain {
			return ErrBatch
		}
	}
	return nil
}

// CheckUnwrap returns ErrBatch for a batch that no [KEK] may take.
func CheckUnwrap(items []UnwrapItem) error {
	if len(items) == 0 || len(items) > MaxBatch {
		return ErrBatch
	}
	return nil
}
