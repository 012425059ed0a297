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
// made here is refused. A text may hold several numbers. The keys derive from the deployment's, so they go with a copy of
// the key ring. It may be used concurrently.
type PageTokens struct{ authentic, secret key }

const (
	tokenTag    = 16 // bytes of the tag, which is the IV
	tokenNumber = 8  // bytes of each number
)

// PageTokens returns what makes and reads page tokens.
func (r *Ring) PageTokens() PageTokens {
	k := r.DeploymentKey(PageTokenKey)
	return PageTokens{k.MAC([]byte("page-token/authentic/v1")), k.MAC([]byte("page-token/secret/v1"))}
}

// Seal returns the text of numbers. use says what for: a text made for one use is refused
// for every other.
func (p PageTokens) Seal(use string, numbers ...int64) string {
	var plain []byte
	for _, n := range numbers {
		plain = binary.BigEndian.AppendUint64(plain, uint64(n))
	}
	tag := p.tag(use, plain)
	text := make([]byte, tokenTag+len(plain))
	copy(text, tag[:])
	p.stream(tag).XORKeyStream(text[tokenTag:], plain)
	return base64.RawURLEncoding.EncodeToString(text)
}

// Open returns the number of a text that Seal made of one number for the same use, and false
// for any other text.
func (p PageTokens) Open(use, text string) (number int64, ok bool) {
	numbers, ok := p.OpenAll(use, text, 1)
	if !ok {
		return 0, false
	}
	return numbers[0], true
}

// OpenAll returns the numbers of a text that Seal made of so many numbers for the same use, and
// false for any other text.
func (p PageTokens) OpenAll(use, text string, count int) (numbers []int64, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != tokenTag+count*tokenNumber {
		return nil, false
	}
	tag := [tokenTag]byte(b)
	plain := make([]byte, len(b)-tokenTag)
	p.stream(tag).XORKeyStream(plain, b[tokenTag:])
	if want := p.tag(use, plain); !hmac.Equal(want[:], tag[:]) {
		return nil, false
	}
	for ; len(plain) > 0; plain = plain[tokenNumber:] {
		numbers = append(numbers, int64(binary.BigEndian.Uint64(plain)))
	}
	return numbers, true
}

func (p PageTokens) tag(use string, plain []byte) [tokenTag]byte {
	sum := p.authentic.mac([]byte(use), []byte{0}, plain) // a use holds no zero byte
	return [tokenTag]byte(sum[:tokenTag])
}

func (p PageTokens) stream(iv [tokenTag]byte) cipher.Stream {
	block, err := aes.NewCipher(p.secret[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return cipher.NewCTR(block, iv[:])
}
