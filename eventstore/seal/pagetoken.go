package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
)

// PageTokens turns numbers of leaves into texts that callers carry, and back. A text tells
// nothing of its number, not even which of two is larger, for whoever knows the leaf of
// what they wrote knows how much the vault records. All have the same length.
//
// It is a synthetic-IV encryption (RFC 5297) with HMAC-SHA-256 as its MAC: the same number
// for the same use gives the same text, so that links are stable, and a text that was not
// made here is refused. The keys derive from the deployment's, so they go with a copy of
// the key ring. It may be used concurrently.
type PageTokens struct{ authentic, secret key }

const (
	tokenTag  = 16 // bytes of the tag, which is the IV
	tokenSize = tokenTag + 8
)

// PageTokens returns what makes and reads page tokens.
func (r *Ring) PageTokens() PageTokens {
	k := r.DeploymentKey(PageTokenKey)
	return PageTokens{k.MAC([]byte("page-token/authentic/v1")), k.MAC([]byte("page-token/secret/v1"))}
}

// Seal returns the text of a number. use says what for: a text made for one use is refused
// for every other.
func (p PageTokens) Seal(use string, number int64) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(number))
	tag := p.tag(use, plain)
	text := make([]byte, tokenSize)
	copy(text, tag[:])
	p.stream(tag).XORKeyStream(text[tokenTag:], plain)
	return base64.RawURLEncoding.EncodeToString(text)
}

// Open returns the number of a text that Seal made for the same use, and false for any
// other text.
func (p PageTokens) Open(use, text string) (number int64, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != tokenSize {
		return 0, false
	}
	tag := [tokenTag]byte(b)
	plain := make([]byte, tokenSize-tokenTag)
	p.stream(tag).XORKeyStream(plain, b[tokenTag:])
	if want := p.tag(use, plain); !hmac.Equal(want[:], tag[:]) {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(plain)), true
}

func (p PageTokens) tag(use string, plain []byte) [tokenTag]byte {
	sum := p.authentic.mac([]byte(use), []byte{0}, plain) // a use holds no zero byte, and the number is of one length
	return [tokenTag]byte(sum[:tokenTag])
}

func (p PageTokens) stream(iv [tokenTag]byte) cipher.Stream {
	block, err := aes.NewCipher(p.secret[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return cipher.NewCTR(block, iv[:])
}
