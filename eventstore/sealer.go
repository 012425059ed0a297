package eventstore

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"coffre/domain"
)

// Place binds a sealed part to where it stands: moved anywhere else it does not open.
type Place struct {
	Stream Stream
	ID     uuid.UUID // of the event
	Type   string    // stored name with form
}

// Sealer encrypts the personal parts of events. See package seal. All methods
// may be called concurrently.
type Sealer interface {
	// Seal encrypts plain under the content key of p.Stream, which belongs to the
	// citizen; it makes the key, durably, before it first uses it. It returns
	// ErrErased when the citizen's or the stream's key was destroyed, and an error
	// that wraps ErrKeysUnavailable when the keys cannot be reached: then nothing may
	// be stored.
	Seal(ctx context.Context, citizen domain.CitizenID, p Place, plain []byte) ([]byte, error)

	// Open appends the plaintext to dst. It returns ErrErased when the key was
	// destroyed, ErrKeysUnavailable as above, and ErrTampered when the bytes were not
	// sealed for this place.
	Open(ctx context.Context, dst []byte, p Place, sealed []byte) ([]byte, error)
}

// Errors of sealing.
var (
	ErrErased          = errors.New("seal: the key was destroyed")
	ErrKeysUnavailable = errors.New("seal: the keys cannot be reached")
	ErrTampered        = errors.New("seal: the sealed part was not sealed for this place")
)
