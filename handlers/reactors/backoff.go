package reactors

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a pause that doubles from First to Max. Each pause is shortened at random by
// up to a half, so that reactors that failed together do not return together.
type Backoff struct {
	First time.Duration // default 1 s
	Max   time.Duration // default 30 s
}

func (b Backoff) withDefaults() Backoff {
	if b.First <= 0 {
		b.First = time.Second
	}
	if b.Max <= 0 {
		b.Max = 30 * time.Second
	}
	return b
}

// After returns the pause after that many failures in a row (from 1).
func (b Backoff) After(failures int) time.Duration { return b.withDefaults().after(failures) }

func (b Backoff) after(failures int) time.Duration {
	d := b.First
	for ; failures > 1 && d < b.Max; failures-- {
		d *= 2
	}
	d = min(d, b.Max)
	return d - rand.N(d/2+1)
}

// Pause waits for d, or for the end of ctx, whose error it then returns.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
