package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
)

const keySize = 32 // bytes of every key here

type key [keySize]byte

func newKey() (k key) {
	rand.Read(k[:]) // never fails
	return k
}

func newAEAD(k []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Sub-keys of a DEK, by HKDF-SHA256 (RFC 5869, expand only: the DEK is uniform).
// These strings are for ever.
const (
	infoContentKeys = "coffre/content-keys/v1" // wraps the content keys of the citizen's streams
	infoDocumentID  = "coffre/document-id/v1"
	infoContentTag  = "coffre/content-tag/v1"
	infoSSIN        = "coffre/ssin/v1"
)

// Sub-keys of a content key, likewise.
const (
	infoSealedContent = "coffre/sealed-content/v2" // encrypts the personal parts of the stream's events
	infoCommitment    = "coffre/sealed-commitment/v2"
)

func subKey(dek []byte, info string) (k key, err error) {
	b, err := hkdf.Expand(sha256.New, dek, info, keySize)
	if err != nil {
		return key{}, fmt.Errorf("derive sub-key: %w", err)
	}
	copy(k[:], b)
	clear(b)
	return k, nil
}

// subject is what may be done with one citizen's DEK while it lives in memory.
type subject struct {
	citizen domain.CitizenID
	gen     uint64 // of the ring before it was read
	erased  bool   // nothing but a memory of the destruction

	contentKeys cipher.AEAD

	mu         sync.RWMutex // held to read the keys below, and to overwrite them
	zeroed     bool
	documentID key
	contentTag key
	ssin       key
}

func newSubject(citizen domain.CitizenID, dek []byte, gen uint64) (*subject, error) {
	s := &subject{citizen: citizen, gen: gen}
	wrap, err := subKey(dek, infoContentKeys)
	if err != nil {
		return nil, err
	}
	defer clear(wrap[:])
	if s.contentKeys, err = newAEAD(wrap[:]); err != nil {
		return nil, err
	}
	for info, k := range map[string]*key{infoDocumentID: &s.documentID, infoContentTag: &s.contentTag, infoSSIN: &s.ssin} {
		if *k, err = subKey(dek, info); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// zero overwrites the keys. Go offers no way to overwrite an expanded AES key: the
// garbage collector gets it.
func (s *subject) zero() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zeroed = true
	clear(s.documentID[:])
	clear(s.contentTag[:])
	clear(s.ssin[:])
}

// with calls use while the keys cannot be overwritten, and reports false when they
// were.
func (s *subject) with(use func()) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.zeroed {
		return false
	}
	use()
	return true
}

// sealSSIN and openSSIN are called where the keys cannot be overwritten.
func (s *subject) sealSSIN(ssin domain.SSIN) ([]byte, error) {
	aead, err := newAEAD(s.ssin[:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(ssin.Reveal()), ssinAAD(s.citizen)), nil
}

func (s *subject) openSSIN(sealed []byte) (domain.SSIN, error) {
	aead, err := newAEAD(s.ssin[:])
	if err != nil {
		return domain.SSIN{}, err
	}
	digits, err := aead.Open(nil, nil, sealed, ssinAAD(s.citizen))
	if err != nil {
		return domain.SSIN{}, fmt.Errorf("sealed number: %w", eventstore.ErrTampered)
	}
	defer clear(digits)
	ssin, err := domain.ParseSSIN(string(digits))
	if err != nil {
		return domain.SSIN{}, fmt.Errorf("sealed number: %w", eventstore.ErrTampered)
	}
	return ssin, nil
}

// lengthPrefixed writes each part after its length, so that no two lists of parts
// give the same bytes.
func lengthPrefixed(h hash.Hash, parts ...string) {
	var n [4]byte
	for _, part := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
}

// documentUUID is a UUID version 8 (RFC 9562) of the first 122 bits of an HMAC (rule D-4).
func (k key) documentUUID(issuer domain.Organisation, typ domain.DocumentType, sourceReference string) (id uuid.UUID) {
	h := hmac.New(sha256.New, k[:])
	lengthPrefixed(h, string(issuer), string(typ), sourceReference)
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (k key) mac(parts ...[]byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, k[:])
	for _, part := range parts {
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// ssinAAD binds a sealed SSIN to its citizen.
func ssinAAD(citizen domain.CitizenID) []byte {
	return append([]byte("coffre/ssin/v1\x00"), citizen.UUID[:]...)
}

// contentKeyAAD binds a wrapped content key to its stream and id.
func contentKeyAAD(stream eventstore.Stream, id uuid.UUID) []byte {
	aad := append([]byte("coffre/content-key/v1\x00"), id[:]...)
	return append(aad, stream...)
}

// dekAAD binds a wrapped DEK to its citizen.
func dekAAD(citizen domain.CitizenID) []byte { return citizen.UUID[:] }

// DocumentID is the id of the document that this issuer, type and source
// reference make for the citizen (rule D-4): the same each time, and nobody can compute
// it without the citizen's key.
func (r *Ring) DocumentID(ctx context.Context, citizen domain.CitizenID, issuer domain.Organisation, typ domain.DocumentType, sourceReference string) (domain.DocumentID, error) {
	var id domain.DocumentID
	err := r.using(ctx, citizen, func(s *subject) error {
		id.UUID = s.documentID.documentUUID(issuer, typ, sourceReference)
		return nil
	})
	return id, err
}

// ContentTag tells equal contents of one citizen apart from others (rule D-4).
// canonical is the content in the form of RFC 8785.
func (r *Ring) ContentTag(ctx context.Context, citizen domain.CitizenID, canonical []byte) (tag [16]byte, err error) {
	err = r.using(ctx, citizen, func(s *subject) error {
		sum := s.contentTag.mac(canonical)
		copy(tag[:], sum[:])
		return nil
	})
	return tag, err
}
