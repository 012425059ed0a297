package vault

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/leaves"
)

// The scrubber verifies the whole log: a start verifies the end of the log only, so
// what lies before is read once a day, slowly, against the checksums.
const (
	scrubFirst     = time.Hour // after a start, when there is more to do
	scrubEvery     = 24 * time.Hour
	scrubPerSecond = 2000 // records: a million in some eight minutes
)

// scrubber verifies a log: a store does that itself, or the index of its leaves.
type scrubber interface {
	Scrub(ctx context.Context, perSecond int, report func(*eventstore.Corrupt)) error
}

// scrubberOf returns who verifies the log: the store where it keeps checksums, else the
// index of its leaves, for a server that verifies what it holds does not know whether
// that is what was numbered; nil when there is neither.
func scrubberOf(store eventstore.Store, index *leaves.Index) scrubber {
	if own, ok := store.(scrubber); ok {
		return own
	}
	if index != nil {
		return index
	}
	return nil
}

// scrub verifies the log again and again until ctx ends, tells of each damaged
// record, and keeps in damaged how many the last round found. A store that is away
// is asked again the next time.
func scrub(ctx context.Context, s scrubber, logger *slog.Logger, damaged *atomic.Int64) error {
	wait := scrubFirst
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		wait = scrubEvery
		found := int64(0)
		err := s.Scrub(ctx, scrubPerSecond, func(c *eventstore.Corrupt) {
			found++
			logger.ErrorContext(ctx, "the log is damaged", slog.Any("error", c)) // a place, and no name of a stream
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			logger.WarnContext(ctx, "the log was not verified to its end", slog.Any("error", err))
		default:
			damaged.Store(found)
		}
	}
}
