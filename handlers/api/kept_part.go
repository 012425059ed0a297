package api

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore"
)

// openKept opens a sealed part that a read model keeps, as the event it belongs to.
// The event's part in clear is not kept with it, so only what is personal counts.
func openKept[E any](ctx context.Context, v *Vault, place eventstore.Place, sealed []byte) (event E, err error) {
	opened, err := eventstore.OpenPart(ctx, v.Opener, v.Codec, place, []byte(`{}`), sealed)
	if err != nil {
		return event, err
	}
	event, ok := opened.(E)
	if !ok {
		return event, fmt.Errorf("%s is not the event that a read model kept it as", place.Type)
	}
	return event, nil
}

// openKeptBytes opens a sealed part that a read model keeps into the room of dst, and
// leaves it as it was encoded.
func (v *Vault) openKeptBytes(ctx context.Context, dst []byte, place eventstore.Place, sealed []byte) ([]byte, error) {
	plain, err := v.Opener.Open(ctx, dst, place, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", place.Type, err)
	}
	return plain, nil
}

// withoutKey reports whether a sealed part cannot be opened because its key was destroyed
// or is out of reach, and not because something is wrong with it.
func withoutKey(err error) bool {
	return errors.Is(err, eventstore.ErrErased) || errors.Is(err, eventstore.ErrKeysUnavailable)
}
