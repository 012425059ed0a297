package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
)

func fromHex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func expanded(t *testing.T, id uuid.UUID, plain []byte) *contentKey {
	t.Helper()
	k := &contentKey{id: id}
	if err := k.expand(plain); err != nil {
		t.Fatal(err)
	}
	return k
}

// Every form that a sealed part ever had is kept as a file and opens for ever, in its
// place only. The files were made by a program that shares no code with this one but Go's
// cryptography; they are added, never edited.
func TestEveryFormOfASealedPartOpens(t *testing.T) {
	files, err := filepath.Glob("testdata/sealed/*.json")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			var sample struct {
				Key, Type, Meta, Clear, Sealed, Plain string

				Stream   eventstore.Stream
				Revision eventstore.Revision
				ID       uuid.UUID
				Time     int64
			}
			b, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(b, &sample)
			}
			if err != nil {
				t.Fatal(err)
			}
			sealed := fromHex(t, sample.Sealed)
			id, ok := KeyID(sealed)
			if !ok {
				t.Fatal("no key id")
			}
			k := expanded(t, id, fromHex(t, sample.Key))
			r := eventstore.Record{
				Stream: sample.Stream, Revision: sample.Revision, ID: sample.ID, Type: sample.Type, Time: time.UnixMicro(sample.Time),
				Meta: []byte(sample.Meta), Clear: []byte(sample.Clear),
			}
			if plain, err := k.open(nil, r.Place(), sealed); err != nil || string(plain) != sample.Plain {
				t.Fatalf("%q, %v", plain, err)
			}
			for what, change := range map[string]struct {
				to    func(*eventstore.Record)
				bound bool
			}{
				"stream":   {func(r *eventstore.Record) { r.Stream += "0" }, true},
				"id":       {func(r *eventstore.Record) { r.ID[0]++ }, true},
				"type":     {func(r *eventstore.Record) { r.Type += "0" }, true},
				"revision": {func(r *eventstore.Record) { r.Revision++ }, name == "2-at-its-revision"},
				"time":     {func(r *eventstore.Record) { r.Time = r.Time.Add(time.Microsecond) }, name != "1"},
				"metadata": {func(r *eventstore.Record) { r.Meta = nil }, name != "1"},
				"clear":    {func(r *eventstore.Record) { r.Clear = nil }, name != "1"},
			} {
				other := r
				change.to(&other)
				if _, err := k.open(nil, other.Place(), sealed); (err != nil) != change.bound || err != nil && !errors.Is(err, eventstore.ErrTampered) {
					t.Errorf("with another %s: %v, bound: %t", what, err, change.bound)
				}
			}
		})
	}
}

// AES-GCM commits to no key: one block chosen for the purpose makes bytes that two keys
// open as two texts. Behind the commitment of one key the other opens nothing, and the key
// that committed opens only the text it committed to.
func TestASealedPartOpensUnderOneKeyAsOneText(t *testing.T) {
	p := eventstore.Place{Stream: "document-1", ID: uuid.New(), Type: "document.issued/2"}
	id := uuid.New()
	var keys [2]*contentKey
	var gcms [2]cipher.AEAD
	var blocks [2]cipher.Block
	for i := range keys {
		plain := newKey()
		keys[i] = expanded(t, id, plain[:])
		content, err := subKey(plain[:], infoSealedContent)
		if err != nil {
			t.Fatal(err)
		}
		if blocks[i], err = aes.NewCipher(content[:]); err != nil {
			t.Fatal(err)
		}
		if gcms[i], err = cipher.NewGCM(blocks[i]); err != nil {
			t.Fatal(err)
		}
	}
	aad := appendFacts(nil, p, id)
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)

	// seal returns the box that has this ciphertext under a key.
	seal := func(i int, ciphertext []byte) []byte {
		plain := gcms[i].Seal(nil, nonce, ciphertext, nil)[:len(ciphertext)] // counter mode is its own inverse
		return gcms[i].Seal(nil, nonce, plain, aad)
	}
	// The last block counts in the tag times the square of a key's hash key: the difference
	// of the two tags, over the sum of the squares, makes the tags equal.
	zero := make([]byte, 16)
	squares := field{}
	for _, b := range blocks {
		h := make([]byte, 16)
		b.Encrypt(h, zero)
		squares = squares.plus(fieldOf(h).times(fieldOf(h)))
	}
	difference := fieldOf(seal(0, zero)[16:]).plus(fieldOf(seal(1, zero)[16:]))
	chosen := difference.times(squares.inverse()).bytes()
	box := seal(0, chosen)
	if string(seal(1, chosen)) != string(box) {
		t.Fatal("the two keys have no box in common: this test proves nothing")
	}

	part := func(box []byte, committed *contentKey) []byte {
		out := append([]byte{formFacts, sealedAlgorithm, thisRevision}, id[:]...)
		out = append(append(out, nonce...), box...)
		return committed.commit(out, aad, append(nonce[:nonceSize:nonceSize], box...))
	}
	for i, k := range keys {
		if plain, err := k.open(nil, p, part(box, k)); err != nil || len(plain) != 16 {
			t.Fatal("its own key does not open it", err)
		}
		if plain, err := k.open(nil, p, part(box, keys[1-i])); !errors.Is(err, eventstore.ErrTampered) || plain != nil {
			t.Errorf("a key opens %d bytes that were committed to another: %v", len(plain), err)
		}
		another := part(seal(i, zero), k)
		copy(another[len(another)-commitmentSize:], part(box, k)[len(another)-commitmentSize:])
		if plain, err := k.open(nil, p, another); !errors.Is(err, eventstore.ErrTampered) || plain != nil {
			t.Errorf("another text opens behind a commitment: %v", err)
		}
	}
}

// field is an element of GF(2^128) as GCM writes it (NIST SP 800-38D, section 6.3).
type field struct{ high, low uint64 }

func fieldOf(b []byte) field {
	return field{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a field) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, a.high), a.low)
}

func (a field) plus(b field) field { return field{a.high ^ b.high, a.low ^ b.low} }

func (a field) times(b field) (z field) {
	for i := range 128 {
		bit := a.high >> (63 - i%64)
		if i >= 64 {
			bit = a.low >> (127 - i)
		}
		if bit&1 == 1 {
			z = z.plus(b)
		}
		carry := b.low & 1
		b = field{b.high >> 1, b.low>>1 | b.high<<63}
		if carry == 1 {
			b.high ^= 0xe1 << 56
		}
	}
	return z
}

// inverse is the power 2^128 - 2.
func (a field) inverse() field {
	z := field{high: 1 << 63} // one
	for range 127 {
		a = a.times(a)
		z = z.times(a)
	}
	return z
}
