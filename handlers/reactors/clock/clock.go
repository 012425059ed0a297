// Package clock announces the end of terms when it comes: of documents, of consents, of the time in
// which a petition is to be answered.
//
// It looks once a minute for what has fallen due and has each announced. What is announced is
// decided by whoever announces, from the streams, under an id that follows from what ends and
// when: so a look that is made again, in another process or after a crash, announces nothing
// twice, and after an outage one look announces each term once, whatever steps have passed.
//
// Invariant: nothing is announced while the time of this machine is in doubt, which it is for an
// hour after it ran away from the time that passed, or came to be more than a day after the last
// look.
package clock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"coffre/domain"
	"coffre/handlers/reactors"
)

const schema = `
CREATE TABLE IF NOT EXISTS clock_looks (
	name TEXT    NOT NULL PRIMARY KEY, -- of what looks
	at   INTEGER NOT NULL              -- microseconds since 1970, of the last look that was complete
) STRICT, WITHOUT ROWID;
`

const (
	// lookEvery is also how late a term is announced at most while all goes well.
	lookEvery = time.Minute
	// maxGap is how long after the last look the time is believed at once; an outage of a day
	// is within it, summer time included.
	maxGap = 26 * time.Hour
	// maxDrift is how far the time may move away from the time that passes, between two looks.
	maxDrift = 10 * time.Minute
	// Settle is how long a time that is in doubt is watched, so that somebody can set it right.
	Settle = time.Hour
	page   = 500
	name   = "terms"
)

// Term is a term of which a step has fallen due.
type Term struct {
	Kind    string
	Subject uuid.UUID
	Due     time.Time
}

// Options of a Clock. DB, Due and Announce are required.
type Options struct {
	DB *reactors.DB
	// Due returns at most limit terms of which a step fell due up to now, the earliest first,
	// from behind the one given; the zero Term to begin.
	Due func(ctx context.Context, after Term, now time.Time, limit int) ([]Term, error)
	// Announce announces the end of a term, once however often it is called, if it is to be
	// announced, and reports whether it did.
	Announce func(ctx context.Context, t Term) (bool, error)
	Logger   *slog.Logger         // default slog.Default()
	Now      func() time.Time     // of the machine, which may jump; default time.Now
	Passed   func() time.Duration // since some moment, which never jumps; default of the runtime
}

// Clock announces terms. Run and Look run once at a time; Status may be called concurrently, also
// in a process whose clock does not run.
type Clock struct {
	o Options

	mu      sync.Mutex
	doubted time.Duration // when the time came to be in doubt, as Passed tells
	doubts  bool
	total   int64

	looked  time.Time // the last moments at which Look began, as Now and Passed tell
	passed  time.Duration
	refused map[Term]bool // were not to be announced on this day
	day     domain.Date
}

// New creates missing tables and returns a Clock. It announces nothing until Run.
func New(ctx context.Context, o Options) (*Clock, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Passed == nil {
		begun := time.Now()
		o.Passed = func() time.Duration { return time.Since(begun) }
	}
	if err := o.DB.Ensure(ctx, schema); err != nil {
		return nil, fmt.Errorf("clock: %w", err)
	}
	return &Clock{o: o}, nil
}

// Tables creates every missing table of the package, for a copy of the database.
func Tables(ctx context.Context, db *reactors.DB) error { return db.Ensure(ctx, schema) }

// Run looks once a minute until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := c.Look(ctx); err != nil && ctx.Err() == nil {
			c.o.Logger.Warn("the clock cannot announce what ends", "reason", class(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Look announces what has fallen due, unless the time is in doubt. Terms that cannot be announced
// now do not keep others from it; they are tried again at the next look, and this one then counts
// as none.
func (c *Clock) Look(ctx context.Context) error {
	now := c.o.Now().Round(0)
	if doubts, err := c.doubt(ctx, now); err != nil || doubts {
		return err
	}
	if day := domain.BelgianDate(now); day != c.day {
		c.day, c.refused = day, map[Term]bool{} // somebody may live again, an erasure may have stopped
	}
	var failed error
	var after Term
	for {
		due, err := c.o.Due(ctx, after, now, page)
		if err != nil {
			return fmt.Errorf("find what has fallen due: %w", err)
		}
		for _, t := range due {
			after = t
			if c.refused[t] {
				continue
			}
			told, err := c.o.Announce(ctx, t)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				failed = fmt.Errorf("announce a term: %w", err)
			case !told:
				c.refused[t] = true
			default:
				c.count()
			}
		}
		if len(due) < page {
			break
		}
	}
	if failed != nil {
		return failed
	}
	return c.keep(ctx, now)
}

// doubt reports whether the time is in doubt at a look.
func (c *Clock) doubt(ctx context.Context, now time.Time) (bool, error) {
	passed := c.o.Passed()
	former, formerPassed := c.looked, c.passed
	c.looked, c.passed = now, passed
	var drift time.Duration
	if !former.IsZero() {
		drift = now.Sub(former) - (passed - formerPassed)
	} else {
		last, err := c.last(ctx)
		if err != nil {
			c.looked = time.Time{}
			return true, err
		}
		if !last.IsZero() && now.Sub(last) > maxGap {
			drift = now.Sub(last)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case drift > maxDrift:
		c.doubts, c.doubted = true, passed
		c.o.Logger.Warn("the time came to be later than expected: nothing is announced for an hour; set the clock right if it is wrong")
	case drift < -maxDrift: // it was set right, or is late, which announces nothing too early
		c.doubts = false
	case c.doubts && passed-c.doubted >= Settle:
		c.doubts = false
	}
	return c.doubts, nil
}

func (c *Clock) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
}

// keep records that a look was complete.
func (c *Clock) keep(ctx context.Context, at time.Time) error {
	err := c.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO clock_looks (name, at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at`), name, at.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("record a look: %w", err)
	}
	return nil
}

// last returns when the last look was complete; zero: none was.
func (c *Clock) last(ctx context.Context) (time.Time, error) {
	var at int64
	err := c.o.DB.Reader().GetContext(ctx, &at, c.o.DB.Reader().Rebind(`SELECT at FROM clock_looks WHERE name = ?`), name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("read the last look: %w", err)
	}
	return time.UnixMicro(at).UTC(), nil
}

// Status is how a clock does.
type Status struct {
	Looked    time.Time // the last look of any process that was complete; zero: none was
	Doubts    bool      // this process looks and announces nothing, because the time is in doubt
	Announced int64     // by this process
}

// Status returns how the clock does.
func (c *Clock) Status(ctx context.Context) (Status, error) {
	looked, err := c.last(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return Status{looked, c.doubts, c.total}, err
}

// class names the kind of an error without any of its text.
func class(err error) string {
	if errors.Is(err, reactors.ErrLater) {
		return "databaseAway"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "fault"
}
