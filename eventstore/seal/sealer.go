package seal

import (
	"context"
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

// The header of a sealed part and what it is bound to: docs/log-format.md, "Sealed
// part". For ever.
const (
	sealedFormat    = 0x01
	sealedAlgorithm = 0x01 // AES-256-GCM with a random 96-bit nonce
	headerSize      = 1 + 1 + 16
	nonceSize       = 12
	tagSize         = 16
	aadDomain       = "coffre/sealed/v1"
)

// Overhead is the bytes a sealed part has more than its plaintext.
const Overhead = headerSize + nonceSize + tagSize

// KeyID returns the id of the key a sealed part names; ok is false when these are
// not the bytes of a sealed part. It says nothing about whether they open.
func KeyID(sealed []byte) (id uuid.UUID, ok bool) {
	if len(sealed) < Overhead || sealed[0] != sealedFormat || sealed[1] != sealedAlgorithm {
		return uuid.Nil, false
	}
	return uuid.UUID(sealed[2:headerSize]), true
}

// buffers hold associated data, which escapes to the heap through cipher.AEAD.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

func appendAAD(dst []byte, p eventstore.Place, keyID uuid.UUID) []byte {
	dst = append(dst, aadDomain...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Stream)))
	dst = append(dst, p.Stream...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.ID)))
	dst = append(dst, p.ID[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Type)))
	dst = append(dst, p.Type...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(keyID)))
	return append(dst, keyID[:]...)
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
		out := make([]byte, headerSize, len(plain)+Overhead)
		out[0], out[1] = sealedFormat, sealedAlgorithm
		copy(out[2:], k.id[:])
		aad := buffers.Get().(*[]byte)
		*aad = appendAAD((*aad)[:0], p, k.id)
		out = k.aead.Seal(out, nil, plain, *aad) // nonce, ciphertext, tag
		buffers.Put(aad)
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
		aad := buffers.Get().(*[]byte)
		*aad = appendAAD((*aad)[:0], p, id)
		out, err := k.aead.Open(dst, nil, sealed[headerSize:], *aad)
		buffers.Put(aad)
		if err != nil {
			return nil, eventstore.ErrTampered
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
