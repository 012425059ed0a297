package disclosure

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore"
)

// OpenSealedPart opens a sealed part that a read model keeps, as the event it belongs to.
// The event's part in clear is not kept with it, so only what is personal counts.
func OpenSealedPart[E any](ctx context.Context, dis *Discloser, place eventstore.Place, sealed []byte) (event E, err error) {
	opened, err := eventstore.OpenPart(ctx, dis.opener, dis.codec, place, []byte(`{}`), sealed)
	if err != nil {
		return event, err
	}
	event, ok := opened.(E)
	if !ok {
		return event, fmt.Errorf("%s is not the event that a read model kept it as", place.Type)
	}
	return event, nil
}

// OpenSealedBytes opens a sealed part that a read model keeps into the room of dst, and
// leaves it as it was encoded.
func (dis *Discloser) OpenSealedBytes(ctx context.Context, dst []byte, place eventstore.Place, sealed []byte) ([]byte, error) {
	plain, err := dis.opener.Open(ctx, dst, place, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", place.Type, err)
	}
	return plain, nil
}

// KeyMissing reports whether a sealed part cannot be opened because its key was destroyed
// or is out of reach, and not because something is wrong with it.
func KeyMissing(err error) bool {
	return errors.Is(err, eventstore.ErrErased) || errors.Is(err, eventstore.ErrKeysUnavailable)
}
