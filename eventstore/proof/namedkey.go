package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Use is what a key signs in a signed note, by its number of C2SP signed-note.
type Use byte

// Uses of Ed25519 keys.
const (
	// SignsNotes is the use of a log's key: it signs the text.
	SignsNotes Use = 0x01
	// Cosigns is the use of a witness's key (C2SP tlog-cosignature): it signs the text and a time.
	Cosigns Use = 0x04
)

// NamedKey is a public Ed25519 key with the name that signed notes call it by, and its use.
type NamedKey struct {
	Name   string
	Use    Use
	Public ed25519.PublicKey
}

// ErrKey: a text is no verifier key of C2SP signed-note that counts here.
var ErrKey = errors.New("this is no verifier key NAME+HASH+KEY of an Ed25519 key")

// ParseKey reads a verifier key (C2SP signed-note): name, key hash and key with + between. It
// returns ErrKey for all but one spelling of it, and for a key of another algorithm.
func ParseKey(text string) (NamedKey, error) {
	name, rest, _ := strings.Cut(text, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 1+ed25519.PublicKeySize || !ValidKeyName(name) {
		return NamedKey{}, ErrKey
	}
	k := NamedKey{Name: name, Use: Use(key[0]), Public: key[1:]}
	if k.Use != SignsNotes && k.Use != Cosigns || k.String() != text || len(hash) != 8 {
		return NamedKey{}, ErrKey
	}
	return k, nil
}

// ValidKeyName reports whether a text may name a key in a signed note: it has neither blanks
// nor + in it, and is not empty.
func ValidKeyName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.Contains(name, "+") && strings.IndexFunc(name, func(r rune) bool { return unicode.IsSpace(r) || r < ' ' }) < 0
}

// Hash is the key's number in a signed note.
func (k NamedKey) Hash() uint32 {
	sum := sha256.Sum256(slices.Concat([]byte(k.Name+"\n"), []byte{byte(k.Use)}, k.Public))
	return binary.BigEndian.Uint32(sum[:])
}

// String returns the verifier key that ParseKey reads.
func (k NamedKey) String() string {
	hash := binary.BigEndian.AppendUint32(nil, k.Hash())
	return fmt.Sprintf("%s+%s+%s", k.Name, hex.EncodeToString(hash), base64.StdEncoding.EncodeToString(append([]byte{byte(k.Use)}, k.Public...)))
}

// Equal reports whether two keys are one: of the same name and use.
func (k NamedKey) Equal(o NamedKey) bool {
	return k.Name == o.Name && k.Use == o.Use && k.Public.Equal(o.Public)
}
