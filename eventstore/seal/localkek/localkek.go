// Package localkek keeps the key-encryption key and the signing key in a file,
// for trying Coffre out without Vault.
//
// Invariant: a version of the key is durable in the file, which only its owner can
// read, before anything is wrapped under it. Whoever reads the file reads everything: it
// protects against nothing but a stolen copy of the databases alone, so the
// program refuses to serve others with it.
package localkek

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync"

	"coffre/eventstore"
	"coffre/eventstore/seal"
)

// KEK implements seal.KEK, seal.KEKRotator and seal.Signer over a key file. One
// process owns a file at a time: the lock of the data directory sees to it.
type KEK struct {
	path string

	mu     sync.RWMutex
	closed bool
	keys   keys
	aeads  map[int]cipher.AEAD
}

var (
	_ seal.KEK        = (*KEK)(nil)
	_ seal.KEKRotator = (*KEK)(nil)
	_ seal.Signer     = (*KEK)(nil)
)

// keys is what the file holds.
type keys struct {
	latest, minDecryption, minAvailable int

	versions map[int][keySize]byte
	signing  ed25519.PrivateKey
}

const keySize = 32 // bytes of an AES-256 key

// Open reads the key file at path, or makes one with fresh keys when there is
// none. The file is durable when Open returns. A file that others than its owner
// may read is refused.
func Open(path string) (*KEK, error) {
	if err := removeLeftover(path); err != nil {
		return nil, fmt.Errorf("key file %s: %w", filepath.Base(path), err)
	}
	k, found, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", filepath.Base(path), err)
	}
	if !found {
		k = fresh()
		if err := write(path, k); err != nil {
			return nil, fmt.Errorf("key file %s: %w", filepath.Base(path), err)
		}
	}
	kek := &KEK{path: path, keys: k}
	if err := kek.expand(); err != nil {
		return nil, err
	}
	return kek, nil
}

func fresh() keys {
	_, signing, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // the system's random source never fails
	}
	return keys{latest: 1, minDecryption: 1, minAvailable: 1, versions: map[int][keySize]byte{1: newKey()}, signing: signing}
}

func newKey() (key [keySize]byte) {
	rand.Read(key[:]) // never fails
	return key
}

// expand makes the ciphers of every version.
func (k *KEK) expand() error {
	aeads := make(map[int]cipher.AEAD, len(k.keys.versions))
	for version, key := range k.keys.versions {
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return fmt.Errorf("expand key: %w", err)
		}
		if aeads[version], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return fmt.Errorf("expand key: %w", err)
		}
	}
	k.aeads = aeads
	return nil
}

// Close overwrites the keys in memory; every call after it answers that the keys
// are unavailable. A second Close does nothing.
func (k *KEK) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	clear(k.keys.signing)
	clear(k.keys.versions)
	clear(k.aeads)
	return nil
}

// ready is called under mu at the start of every method.
func (k *KEK) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.closed {
		return fmt.Errorf("key file is closed: %w", eventstore.ErrKeysUnavailable)
	}
	return nil
}

// A wrapped key is the format byte, the version as a big-endian uint32, then
// nonce, ciphertext and tag of AES-256-GCM with the AAD below.
const (
	wrappedFormat = 0x01
	wrappedHeader = 1 + 4
	wrapDomain    = "coffre/localkek/v1\x00"
)

func aad(use []byte) []byte { return append([]byte(wrapDomain), use...) }

func (k *KEK) wrap(plain, use []byte) []byte {
	out := make([]byte, wrappedHeader, wrappedHeader+12+len(plain)+16)
	out[0] = wrappedFormat
	binary.BigEndian.PutUint32(out[1:], uint32(k.keys.latest))
	return k.aeads[k.keys.latest].Seal(out, nil, plain, aad(use))
}

func (k *KEK) unwrap(item seal.UnwrapItem) ([]byte, error) {
	version, body, ok := parseWrapped(item.Wrapped)
	if !ok {
		return nil, seal.ErrRefused
	}
	if version < k.keys.minDecryption {
		return nil, seal.ErrRetired
	}
	aead, ok := k.aeads[version]
	if !ok {
		return nil, seal.ErrRefused
	}
	plain, err := aead.Open(nil, nil, body, aad(item.AAD))
	if err != nil {
		return nil, seal.ErrRefused
	}
	return plain, nil
}

// parseWrapped splits a wrapped key into its version and its sealed bytes.
func parseWrapped(b []byte) (version int, body []byte, ok bool) {
	if len(b) < wrappedHeader || b[0] != wrappedFormat {
		return 0, nil, false
	}
	v := binary.BigEndian.Uint32(b[1:])
	if v == 0 || v > maxVersion {
		return 0, nil, false
	}
	return int(v), b[wrappedHeader:], true
}

// Wrap implements seal.KEK.
func (k *KEK) Wrap(ctx context.Context, items []seal.WrapItem) ([]seal.Wrapped, error) {
	if err := seal.CheckWrap(items); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	out := make([]seal.Wrapped, len(items))
	for i, item := range items {
		out[i] = seal.Wrapped{Bytes: k.wrap(item.Plain, item.AAD), Version: k.keys.latest}
	}
	return out, nil
}

// Unwrap implements seal.KEK.
func (k *KEK) Unwrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Unwrapped, error) {
	if err := seal.CheckUnwrap(items); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	out := make([]seal.Unwrapped, len(items))
	for i, item := range items {
		out[i].Plain, out[i].Err = k.unwrap(item)
	}
	return out, nil
}

// Rewrap implements seal.KEK.
func (k *KEK) Rewrap(ctx context.Context, items []seal.UnwrapItem) ([]seal.Wrapped, error) {
	if err := seal.CheckUnwrap(items); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	out := make([]seal.Wrapped, len(items))
	for i, item := range items {
		plain, err := k.unwrap(item)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = seal.Wrapped{Bytes: k.wrap(plain, item.AAD), Version: k.keys.latest}
		clear(plain)
	}
	return out, nil
}

// Versions implements seal.KEK.
func (k *KEK) Versions(ctx context.Context) (seal.Versions, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.ready(ctx); err != nil {
		return seal.Versions{}, err
	}
	return seal.Versions{Latest: k.keys.latest, MinDecryption: k.keys.minDecryption, MinAvailable: k.keys.minAvailable}, nil
}

// Rotate implements seal.KEKRotator.
func (k *KEK) Rotate(ctx context.Context) (int, error) {
	version := 0
	err := k.change(ctx, func(next *keys) error {
		if next.latest == maxVersion {
			return seal.ErrVersion
		}
		next.latest++
		next.versions[next.latest] = newKey()
		version = next.latest
		return nil
	})
	return version, err
}

// SetMinDecryption implements seal.KEKRotator.
func (k *KEK) SetMinDecryption(ctx context.Context, oldest int) error {
	return k.change(ctx, func(next *keys) error {
		if oldest < next.minAvailable || oldest > next.latest {
			return seal.ErrVersion
		}
		next.minDecryption = oldest
		return nil
	})
}

// Trim implements seal.KEKRotator.
func (k *KEK) Trim(ctx context.Context, oldest int) error {
	return k.change(ctx, func(next *keys) error {
		if oldest < next.minAvailable || oldest > next.minDecryption {
			return seal.ErrVersion
		}
		for version := range next.versions {
			if version < oldest {
				delete(next.versions, version)
			}
		}
		next.minAvailable = oldest
		return nil
	})
}

// change applies edit to a copy of the keys, makes it durable, then uses it. When
// it fails the former keys stay in use; the file then holds either.
func (k *KEK) change(ctx context.Context, edit func(*keys) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(ctx); err != nil {
		return err
	}
	next := k.keys
	next.versions = make(map[int][keySize]byte, len(k.keys.versions)+1)
	for version, key := range k.keys.versions {
		next.versions[version] = key
	}
	if err := edit(&next); err != nil {
		return err
	}
	if err := write(k.path, next); err != nil {
		return fmt.Errorf("key file %s: %w", filepath.Base(k.path), err)
	}
	k.keys = next
	return k.expand()
}

// Sign implements seal.Signer. There is one signing key per file.
func (k *KEK) Sign(ctx context.Context, message []byte) ([]byte, string, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.ready(ctx); err != nil {
		return nil, "", err
	}
	return ed25519.Sign(k.keys.signing, message), keyID(k.public()), nil
}

// PublicKey implements seal.Signer.
func (k *KEK) PublicKey(ctx context.Context, id string) (ed25519.PublicKey, string, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.ready(ctx); err != nil {
		return nil, "", err
	}
	public := k.public()
	if id != "" && id != keyID(public) {
		return nil, "", seal.ErrNoSigningKey
	}
	return public, keyID(public), nil
}

func (k *KEK) public() ed25519.PublicKey {
	return append(ed25519.PublicKey(nil), k.keys.signing.Public().(ed25519.PublicKey)...)
}

// keyID is made from the public key, so that a file cannot give one name to two keys.
func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return "local-" + hex.EncodeToString(sum[:8])
}

// String, GoString and Format never show a key.
func (k *KEK) String() string   { return "(local key-encryption key)" }
func (k *KEK) GoString() string { return k.String() }

// Format prints the placeholder for every verb.
func (k *KEK) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }
