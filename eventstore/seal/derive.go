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
	"coffre/eventstore/seal/keysdb"
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
	infoIndexKeys   = "coffre/index-keys/v1"   // wraps the three below once the DEK that gave them is replaced
	infoDocumentID  = "coffre/document-id/v1"
	infoContentTag  = "coffre/content-tag/v1"
	infoSSIN        = "coffre/ssin/v1"
)

// Sub-keys of a content key, likewise.
const (
	infoSealedContent = "coffre/sealed-content/v2" // encrypts the personal parts of the stream's events
	infoCommitment    = "coffre/sealed-commitment/v2"
)

// Sub-keys of the deployment key of rows, likewise.
const (
	infoRowMACs    = "coffre/row-macs/v1"
	infoRowSums    = "coffre/row-sums/v1"
	infoSealedSums = "coffre/sealed-sums/v1"
	infoProviders  = "coffre/provider-record/v1"
)

// ProveProvider returns a MAC of what the log says about who vouches for callers, under a
// key that is used for nothing else. It needs no keeper, and never changes.
func (r *Ring) ProveProvider(said []byte) ([32]byte, error) {
	rows := r.deployment[rowsKey]
	k, err := subKey(rows.secret[:], infoProviders)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(k[:])
	return k.mac(said), nil
}

// rowKeys returns the keys that rows of the key database are verified with.
func (k DeploymentKey) rowKeys() (*keysdb.RowKeys, error) {
	var keys keysdb.RowKeys
	for info, to := range map[string]*[32]byte{infoRowMACs: &keys.MAC, infoRowSums: &keys.Sum, infoSealedSums: &keys.Seal} {
		sub, err := subKey(k.secret[:], info)
		if err != nil {
			return nil, err
		}
		*to = sub
	}
	return &keys, nil
}

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
	number  int    // of the DEK among those of the citizen, from 1
	gen     uint64 // of the ring before it was read
	erased  bool   // nothing but a memory of the destruction

	contentKeys cipher.AEAD

	mu         sync.RWMutex // held to read the keys below, and to overwrite them
	zeroed     bool
	documentID key
	contentTag key
	ssin       key
}

// newSubject derives the keys of a citizen from their DEK of that number. index is what
// [subject.wrapIndexKeys] made for this DEK; nil for the first, which gives the index keys.
func newSubject(citizen domain.CitizenID, dek []byte, number int, index []byte, gen uint64) (*subject, error) {
	s := &subject{citizen: citizen, number: number, gen: gen}
	wrap, err := subKey(dek, infoContentKeys)
	if err != nil {
		return nil, err
	}
	defer clear(wrap[:])
	if s.contentKeys, err = newAEAD(wrap[:]); err != nil {
		return nil, err
	}
	if index != nil {
		return s, s.unwrapIndexKeys(dek, index)
	}
	for info, k := range map[string]*key{infoDocumentID: &s.documentID, infoContentTag: &s.contentTag, infoSSIN: &s.ssin} {
		if *k, err = subKey(dek, info); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// indexKeys are the keys that stay when the DEK is replaced, in the order in which they
// are wrapped.
func (s *subject) indexKeys() [3]*key { return [3]*key{&s.documentID, &s.contentTag, &s.ssin} }

// indexAEAD wraps the index keys under a DEK.
func indexAEAD(dek []byte) (cipher.AEAD, error) {
	wrap, err := subKey(dek, infoIndexKeys)
	if err != nil {
		return nil, err
	}
	defer clear(wrap[:])
	return newAEAD(wrap[:])
}

// wrapIndexKeys returns the citizen's index keys wrapped under another DEK of theirs.
func (s *subject) wrapIndexKeys(dek []byte) ([]byte, error) {
	aead, err := indexAEAD(dek)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, 0, len(s.indexKeys())*keySize)
	defer func() { clear(plain) }()
	for _, k := range s.indexKeys() {
		plain = append(plain, k[:]...)
	}
	return aead.Seal(nil, nil, plain, indexKeysAAD(s.citizen)), nil
}

func (s *subject) unwrapIndexKeys(dek, wrapped []byte) error {
	aead, err := indexAEAD(dek)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, wrapped, indexKeysAAD(s.citizen))
	defer clear(plain)
	if err != nil || len(plain) != len(s.indexKeys())*keySize {
		return keeperError(ErrRefused)
	}
	for i, k := range s.indexKeys() {
		copy(k[:], plain[i*keySize:])
	}
	return nil
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

// indexKeysAAD binds wrapped index keys to their citizen.
func indexKeysAAD(citizen domain.CitizenID) []byte {
	return append([]byte("coffre/index-keys/v1\x00"), citizen.UUID[:]...)
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
