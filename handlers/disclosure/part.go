package disclosure

import (
	"context"
	"errors"
	"fmt"

	"coffre/eventstore"
)

// OpenSealedPart opens a sealed part that a read model keeps, as the event of type E that
// it belongs to. Only the event's personal fields are set, because the read model does not
// keep its clear part.
func OpenSealedPart[E any](ctx context.Context, dis *Discloser, place eventstore.Place, sealed eventstore.Kept) (event E, err error) {
	personal, err := eventstore.OpenKept(ctx, dis.openerFor(ctx), nil, place, sealed)
	if err != nil {
		return event, err
	}
	opened, err := dis.codec.Decode(place.Type, []byte(`{}`), personal)
	if err != nil {
		return event, err
	}
	event, ok := opened.(E)
	if !ok {
		return event, fmt.Errorf("%s is not the event that a read model kept it as", place.Type)
	}
	return event, nil
}

// OpenSealedBytes opens a sealed part that a read model keeps into the capacity of dst,
// without decoding it.
func (dis *Discloser) OpenSealedBytes(ctx context.Context, dst []byte, place eventstore.Place, sealed eventstore.Kept) ([]byte, error) {
	return eventstore.OpenKept(ctx, dis.openerFor(ctx), dst, place, sealed)
}

// KeyMissing reports whether an error means that the key of a sealed part was destroyed or
// cannot be reached now, and not that the part is damaged.
func KeyMissing(err error) bool {
	return errors.Is(err, eventstore.ErrErased) || errors.Is(err, eventstore.ErrKeysUnavailable)
}
