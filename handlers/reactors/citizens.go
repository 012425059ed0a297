package reactors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"coffre/domain"
	"coffre/eventstore"
)

// citizensKnown bounds the streams whose citizen is kept in memory.
const citizensKnown = 16 << 10

// citizens knows whom events are about. Its methods may be called concurrently.
type citizens struct {
	store   eventstore.Store
	streams *lru.Cache[eventstore.Stream, domain.CitizenID]
}

func newCitizens(store eventstore.Store) *citizens {
	streams, err := lru.New[eventstore.Stream, domain.CitizenID](citizensKnown)
	if err != nil {
		panic(err) // of a size that is not positive
	}
	return &citizens{store, streams}
}

// of returns whom a record is about: the citizen that it names, or else the one whom the first
// record of its stream names; zero when neither names one. The answer for a record is always
// the same, because what is recorded never changes.
func (c *citizens) of(ctx context.Context, r eventstore.Record) (domain.CitizenID, error) {
	if citizen := named(r); !citizen.IsZero() || r.Revision == 0 {
		return citizen, nil
	}
	if citizen, known := c.streams.Get(r.Stream); known {
		return citizen, nil
	}
	var citizen domain.CitizenID
	for first, err := range c.store.ReadStream(ctx, r.Stream, 0) {
		var damaged *eventstore.Corrupt
		if errors.As(err, &damaged) {
			break // whoever it names, nobody can tell
		}
		if err != nil {
			return citizen, fmt.Errorf("read whom a stream is about: %w", err)
		}
		citizen = named(first)
		break
	}
	c.streams.Add(r.Stream, citizen)
	return citizen, nil
}

// named returns the citizen that a record names in clear.
func named(r eventstore.Record) domain.CitizenID {
	var clear struct {
		Citizen domain.CitizenID `json:"citizen"`
	}
	if json.Unmarshal(r.Clear, &clear) != nil {
		return domain.CitizenID{}
	}
	return clear.Citizen
}
