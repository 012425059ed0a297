package vault

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"coffre/eventstore"
)

// maxAlarms bounds the places that an alarm remembers; what is found beyond is counted
// with them and not told of.
const maxAlarms = 10_000

// alarm collects what in the log, or sealed, is not what was recorded, or is gone: each
// place is told of once, by one line, and counted until the process ends, because only a
// person can make it whole. Its methods may be called concurrently.
type alarm struct {
	logger *slog.Logger

	mu    sync.Mutex
	found map[eventstore.Corrupt]bool
	other map[string]bool // what has no place, by its words
}

func newAlarm(logger *slog.Logger) *alarm {
	return &alarm{logger: logger, found: map[eventstore.Corrupt]bool{}, other: map[string]bool{}}
}

// report tells of a place in the log. What is known of a stream as a whole is one finding,
// wherever it was met.
func (a *alarm) report(c *eventstore.Corrupt) {
	key := *c
	if key.Stream != "" {
		key.Revision, key.Position = max(key.Revision, 0), eventstore.Position{}
	}
	a.mu.Lock()
	known := a.found[key] || len(a.found) >= maxAlarms
	if !known {
		a.found[key] = true
	}
	a.mu.Unlock()
	if !known {
		a.logger.Error("tampering: the log does not hold what was recorded", slog.String("stream", string(c.Stream)), slog.Int64("revision", int64(c.Revision)),
			slog.Uint64("commit", c.Position.Commit), slog.Uint64("prepare", c.Position.Prepare))
	}
}

// fault tells of an error that wraps eventstore.ErrIntegrity.
func (a *alarm) fault(err error) {
	if c, ok := errors.AsType[*eventstore.Corrupt](err); ok {
		a.report(c)
		return
	}
	words := err.Error()
	a.mu.Lock()
	known := a.other[words] || len(a.other) >= maxAlarms
	if !known {
		a.other[words] = true
	}
	a.mu.Unlock()
	if !known {
		a.logger.LogAttrs(context.Background(), slog.LevelError, "tampering: what is sealed is not what was sealed", slog.Any("error", err))
	}
}

// count is how many places were found.
func (a *alarm) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.found) + len(a.other)
}
