package kurrent

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"coffre/eventstore"
)

// watchWindow is how many events the server looks at between two checkpoints of the
// watch, which finds hardly any.
const watchWindow = 4096

// watch reads, from the beginning of the log and for as long as the store is open, the
// events by which the server says that a stream was deleted or is to be truncated: also
// those that were there before this process, which nobody passes who goes on where he was.
func (s *Store) watch() {
	defer s.link.calls.Done()
	life := s.link.life
	var at eventstore.Position
	for life.Err() == nil {
		_, _ = use(life, s.link, func(ctx context.Context, client *esdb.Client) (struct{}, error) {
			return struct{}{}, s.watchFrom(ctx, client, &at)
		}) // whatever ended it, the next one begins where it was
		rest := time.NewTimer(shortRest/2 + rand.N(longRest))
		select {
		case <-rest.C:
		case <-life.Done():
		}
		rest.Stop()
	}
}

// watchFrom hears one subscription to its end and keeps in at where it was.
func (s *Store) watchFrom(ctx context.Context, client *esdb.Client, at *eventstore.Position) error {
	filter := &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"$metadata", tombstone}}
	return hear(ctx, client, *at, esdb.SubscribeToAllOptions{Filter: filter, MaxSearchWindow: watchWindow}, func(e *esdb.RecordedEvent) {
		s.passed(e)
		*at = place(e)
	})
}
