package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain"
)

// Place is where a sealed part stands, to which it is bound: moved anywhere else it
// does not open.
type Place struct {
	Stream Stream
	ID     uuid.UUID // of the event
	Type   string    // stored name with form
}

// Sealer encrypts the personal parts of events, and can open none. See package seal.
// All methods may be called concurrently.
type Sealer interface {
	// Seal encrypts plain under the content key of p.Stream, which belongs to the
	// citizen; it makes the key, durably, before it first uses it. It returns
	// ErrErased when the citizen's or the stream's key was destroyed, and an error
	// that wraps ErrKeysUnavailable when the keys cannot be reached: then nothing may
	// be stored.
	Seal(ctx context.Context, citizen domain.CitizenID, p Place, plain []byte) ([]byte, error)
}

// Opener decrypts the personal parts of events. Opening is a disclosure: whoever holds
// an Opener may see plaintext, and records the access first. All methods may be called
// concurrently.
type Opener interface {
	// Open appends the plaintext to dst. It returns ErrErased when the key was
	// destroyed, ErrKeysUnavailable when the keys cannot be reached, and ErrTampered
	// when the bytes were not sealed for this place.
	Open(ctx context.Context, dst []byte, p Place, sealed []byte) ([]byte, error)
}

// OpenEvent decrypts the personal part of e and returns the event with it, or the
// event as it is when it has none. Its errors are those of [Opener.Open] and of c.
func OpenEvent(ctx context.Context, o Opener, c Codec, e Event) (any, error) {
	if e.Sealed == nil {
		return e.Data, nil
	}
	return OpenPart(ctx, o, c, e.Place(), e.Clear, e.Sealed)
}

// OpenPart is [OpenEvent] for holders of a copy of a record's parts, as read models keep.
func OpenPart(ctx context.Context, o Opener, c Codec, p Place, clear, sealed []byte) (any, error) {
	personal, err := o.Open(ctx, nil, p, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p.Type, err)
	}
	return c.Decode(p.Type, clear, personal)
}

// Errors of sealing and opening.
var (
	ErrErased          = errors.New("seal: the key was destroyed")
	ErrKeysUnavailable = errors.New("seal: the keys cannot be reached")
	ErrTampered        = errors.New("seal: the sealed part was not sealed for this place")
)
