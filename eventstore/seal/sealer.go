package seal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
)

// Sealer implements eventstore.Sealer with the keys of a ring. Once a stream's key
// is in memory it asks neither the database nor the key-encryption key.
type Sealer struct{ Ring *Ring }

// Opener implements eventstore.Opener with the keys of a ring. Once a stream's key
// is in memory it asks neither the database nor the key-encryption key.
type Opener struct{ Ring *Ring }

var (
	_ eventstore.Sealer = Sealer{}
	_ eventstore.Opener = Opener{}
)

// A sealed part is its header, nonce, ciphertext, tag and commitment, and bound to its
// place: docs/log-format.md, "Sealed part". For ever.
const (
	formFacts = 0x02 // bound to the facts of its record, and committed to its key
	formPlace = 0x01 // bound to stream, event and type only; it is read and no longer written

	sealedAlgorithm = 0x01 // AES-256-GCM with a random 96-bit nonce

	// What the third byte of formFacts says of the revision.
	anyRevision  = 0x00
	thisRevision = 0x01

	headerSize      = 1 + 1 + 1 + 16
	placeHeaderSize = 1 + 1 + 16
	nonceSize       = 12
	tagSize         = 16
	commitmentSize  = sha256.Size

	aadFacts = "coffre/sealed/v2"
	aadPlace = "coffre/sealed/v1"
)

// Overhead is the bytes a sealed part has more than its plaintext.
const Overhead = headerSize + nonceSize + tagSize + commitmentSize

const placeOverhead = placeHeaderSize + nonceSize + tagSize // of formPlace

// KeyID returns the id of the key a sealed part names; ok is false when these are
// not the bytes of a sealed part. It says nothing about whether they open.
func KeyID(sealed []byte) (id uuid.UUID, ok bool) {
	switch {
	case len(sealed) < 2 || sealed[1] != sealedAlgorithm:
	case sealed[0] == formFacts && len(sealed) >= Overhead:
		return uuid.UUID(sealed[headerSize-16 : headerSize]), true
	case sealed[0] == formPlace && len(sealed) >= placeOverhead:
		return uuid.UUID(sealed[placeHeaderSize-16 : placeHeaderSize]), true
	}
	return uuid.Nil, false
}

// buffers hold associated data, which escapes to the heap through cipher.AEAD.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// appendPlace appends what both forms are bound to.
func appendPlace(dst []byte, domain string, p eventstore.Place, keyID uuid.UUID) []byte {
	dst = append(dst, domain...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Stream)))
	dst = append(dst, p.Stream...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.ID)))
	dst = append(dst, p.ID[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Type)))
	dst = append(dst, p.Type...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(keyID)))
	return append(dst, keyID[:]...)
}

// appendFacts appends what formFacts is bound to. A revision that is not known counts as
// the largest number, which no record has.
func appendFacts(dst []byte, p eventstore.Place, keyID uuid.UUID) []byte {
	dst = appendPlace(dst, aadFacts, p, keyID)
	dst = binary.BigEndian.AppendUint64(dst, uint64(max(p.Revision, eventstore.AnyRevision)))
	return append(dst, p.Facts[:]...)
}

// seal returns plain sealed for a place.
func (k *contentKey) seal(p eventstore.Place, plain []byte) ([]byte, error) {
	aead, err := k.aead(false)
	if err != nil {
		return nil, err
	}
	out := make([]byte, headerSize, len(plain)+Overhead)
	out[0], out[1], out[2] = formFacts, sealedAlgorithm, thisRevision
	if p.Revision < 0 {
		out[2] = anyRevision
	}
	copy(out[headerSize-16:], k.id[:])
	aad := buffers.Get().(*[]byte)
	defer buffers.Put(aad)
	*aad = appendFacts((*aad)[:0], p, k.id)
	out = aead.Seal(out, nil, plain, *aad) // nonce, ciphertext, tag
	return k.commit(out, *aad, out[headerSize:]), nil
}

// commit appends the commitment of a part to dst: HMAC-SHA256 over the associated data,
// the nonce and the tag, under a key that HKDF derives from the content key. AES-GCM alone
// commits to no key: whoever sealed could choose bytes that open as two texts under two
// keys. A hash over key, nonce, associated data and tag fixes all of them and so the text:
// it is the construction that Chan and Rogaway call CTX, with the tag kept because Go's
// AEAD checks it.
func (k *contentKey) commit(dst, aad, box []byte) []byte {
	// HMAC (RFC 2104) in its two hashes: the library's allocates six times for each part.
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = append((*buf)[:0], k.pad(0x36)...)
	*buf = append(*buf, aad...)
	*buf = append(*buf, box[:nonceSize]...)
	*buf = append(*buf, box[len(box)-tagSize:]...)
	inner := sha256.Sum256(*buf)
	*buf = append((*buf)[:0], k.pad(0x5c)...)
	*buf = append(*buf, inner[:]...)
	sum := sha256.Sum256(*buf)
	clear((*buf)[:sha256.BlockSize])
	return append(dst, sum[:]...)
}

// pad returns the key of commitments as HMAC puts it before what it hashes.
func (k *contentKey) pad(with byte) []byte {
	var padded [sha256.BlockSize]byte
	copy(padded[:], k.commitment[:])
	for i := range padded {
		padded[i] ^= with
	}
	return padded[:]
}

// open appends to dst what was sealed for a place. The bytes name this key and have the
// length of a part, as KeyID tells.
func (k *contentKey) open(dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	aad := buffers.Get().(*[]byte)
	defer buffers.Put(aad)
	if sealed[0] == formPlace {
		aead, err := newAEAD(k.whole[:])
		if err != nil {
			return nil, err
		}
		*aad = appendPlace((*aad)[:0], aadPlace, p, k.id)
		return opened(aead.Open(dst, nil, sealed[placeHeaderSize:], *aad))
	}
	switch {
	case sealed[2] == anyRevision:
		p.Revision = eventstore.AnyRevision
	case sealed[2] != thisRevision || p.Revision < 0:
		return nil, eventstore.ErrTampered
	}
	*aad = appendFacts((*aad)[:0], p, k.id)
	box, commitment := sealed[headerSize:len(sealed)-commitmentSize], sealed[len(sealed)-commitmentSize:]
	var buf [commitmentSize]byte
	if !hmac.Equal(k.commit(buf[:0], *aad, box), commitment) { // in constant time
		return nil, eventstore.ErrTampered
	}
	aead, err := k.aead(true)
	if err != nil {
		return nil, err
	}
	return opened(aead.Open(dst, nil, box, *aad))
}

func opened(plain []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, eventstore.ErrTampered
	}
	return plain, nil
}

// errPlace: a place without a stream or a type, or with one whose length its prefix could
// not hold.
var errPlace = fmt.Errorf("seal: place: %w", eventstore.ErrInvalid)

func checkPlace(p eventstore.Place) error {
	if p.Stream == "" || len(p.Stream) > eventstore.MaxStreamName || p.Type == "" || len(p.Type) > 1<<10 {
		return errPlace
	}
	return nil
}

// Seal implements eventstore.Sealer. It returns ErrOtherCitizen when the stream's
// key is another citizen's, ErrUnknown when the citizen is not enrolled.
func (s Sealer) Seal(ctx context.Context, citizen domain.CitizenID, p eventstore.Place, plain []byte) ([]byte, error) {
	if err := checkPlace(p); err != nil {
		return nil, err
	}
	for {
		gen := s.Ring.gen.Load()
		k, err := s.Ring.sealingKey(ctx, citizen, p.Stream)
		if err != nil {
			return nil, err
		}
		out, err := k.seal(p, plain)
		if err != nil {
			return nil, err
		}
		if s.Ring.settled(gen) {
			return out, nil
		}
	}
}

// Open implements eventstore.Opener. dst may not overlap sealed.
func (o Opener) Open(ctx context.Context, dst []byte, p eventstore.Place, sealed []byte) ([]byte, error) {
	id, ok := KeyID(sealed)
	if !ok {
		return nil, fmt.Errorf("no sealed part: %w", eventstore.ErrTampered)
	}
	if err := checkPlace(p); err != nil {
		return nil, err
	}
	for {
		gen := o.Ring.gen.Load()
		k, err := o.Ring.contentKey(ctx, p.Stream)
		switch {
		case errors.Is(err, ErrUnknown):
			return nil, fmt.Errorf("the stream has no key: %w", eventstore.ErrTampered)
		case err != nil:
			return nil, err
		case k.id != id:
			return nil, fmt.Errorf("the stream has another key: %w", eventstore.ErrTampered)
		}
		out, err := k.open(dst, p, sealed)
		if err != nil {
			return nil, err
		}
		if o.Ring.settled(gen) {
			return out, nil
		}
		clear(out[len(dst):])
	}
}

// settled reports that the lease still holds and nothing was forgotten since gen:
// what was sealed or opened meanwhile may be used.
func (r *Ring) settled(gen uint64) bool {
	return r.gen.Load() == gen && r.lease.covers(r.cfg.Now(), r.cfg.Lease)
}
