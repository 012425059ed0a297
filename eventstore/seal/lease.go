package seal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// lease is the time during which keys in memory may be used. One lease covers them all: the
// database keeps a numbered list of what was destroyed, and renewing means to read on
// in it and to forget what it names.
type lease struct {
	granted atomic.Pointer[time.Time] // when the list was last known to be read to its end
	turn    chan struct{}             // of capacity 1: held while renewing
}

// covers reports whether the lease holds. Both of the system's clocks must say so:
// one does not count while the machine sleeps, the other may be set back.
func (l *lease) covers(now time.Time, length time.Duration) bool {
	return l.left(now, length) > 0
}

// left returns for how long the lease still holds; both of the system's clocks count.
func (l *lease) left(now time.Time, length time.Duration) time.Duration {
	granted := l.granted.Load()
	if granted == nil {
		return 0
	}
	return length - max(now.Sub(*granted), now.Round(0).Sub(granted.Round(0)))
}

// leased returns nil while keys may be used, after renewing the lease if it must.
func (r *Ring) leased(ctx context.Context) error {
	if r.lease.covers(r.cfg.Now(), r.cfg.Lease) {
		return nil
	}
	return r.renew(ctx)
}

// keepLease renews well before the end, so that no caller waits for it, and so
// that destroyed keys leave an idle process too.
func (r *Ring) keepLease(ctx context.Context) {
	ticker := time.NewTicker(r.cfg.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			attempt, cancel := context.WithTimeout(ctx, r.cfg.Lease/3)
			// An error is met again by whoever needs a key once the lease has ended, and
			// by whoever uses a pepper of a former step. An audit key of a former version
			// names as well.
			_ = r.read(attempt)
			_ = r.readPeppers(attempt)
			_ = r.readAudit(attempt)
			_ = r.readRequests(attempt)
			cancel()
		}
	}
}

// renew reads the list of destructions unless somebody else just did.
func (r *Ring) renew(ctx context.Context) error {
	select {
	case r.lease.turn <- struct{}{}:
		defer func() { <-r.lease.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.lease.covers(r.cfg.Now(), r.cfg.Lease) {
		return nil
	}
	return r.readOn(ctx)
}

// read reads the list of destructions whether the lease has ended or not.
func (r *Ring) read(ctx context.Context) error {
	select {
	case r.lease.turn <- struct{}{}:
		defer func() { <-r.lease.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return r.readOn(ctx)
}

// readOn is called with the turn held.
func (r *Ring) readOn(ctx context.Context) error {
	if r.closed.Load() {
		return fmt.Errorf("renew lease: %w: %w", eventstore.ErrKeysUnavailable, eventstore.ErrClosed)
	}
	started := r.cfg.Now() // the lease counts from before the list was read
	clock, err := r.db.Entry(ctx, destructionClock, `id = 1`)
	damaged := errors.Is(err, keysdb.ErrDamaged) || err == nil && clock == nil
	if err != nil && !damaged {
		return unavailable(ctx, "renew lease", err)
	}
	switch {
	case damaged: // what was destroyed is not told: whatever is used next is read anew
		r.forgetAll()
		r.endLeasesIf(eventstore.ErrKeysUnavailable, func(*KeyLease) bool { return true })
	case r.lease.granted.Load() == nil: // nothing is in memory yet
		r.seq = uint64(clock.Int("seq"))
	case uint64(clock.Int("seq")) != r.seq:
		if err := r.apply(ctx, uint64(clock.Int("seq"))); err != nil {
			return unavailable(ctx, "renew lease", err)
		}
	}
	r.lease.granted.Store(&started)
	return nil
}

// apply forgets what was destroyed after r.seq, up to last at least.
func (r *Ring) apply(ctx context.Context, last uint64) error {
	next, gap := r.seq, false
	var citizens, replaced []domain.CitizenID
	var streams []eventstore.Stream
	err := r.db.Each(ctx, destructions, `seq > ? ORDER BY seq`, []any{int64(r.seq)}, func(e *keysdb.Entry, damage error) error {
		if damage != nil {
			gap = true
			return nil
		}
		seq := uint64(e.Int("seq"))
		gap = gap || seq != next+1
		next = seq
		if !e.Null("citizen") {
			id, err := citizenOf(e)
			if err != nil {
				return err
			}
			if !e.Null("stream") && e.Text("stream") == dataKeyReplaced {
				replaced = append(replaced, id)
				return nil
			}
			citizens = append(citizens, id)
		}
		if !e.Null("stream") {
			streams = append(streams, eventstore.Stream(e.Text("stream")))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if gap || next < last {
		r.forgetAll() // this process slept for longer than the list goes back, or the list is damaged
		r.endLeasesIf(eventstore.ErrKeysUnavailable, func(*KeyLease) bool { return true })
	} else {
		r.forget(append(replaced, citizens...), streams)
		r.endLeases(citizens, streams)
	}
	r.seq = max(next, last)
	return nil
}

// Forget drops a citizen's keys from memory; they come back from the database when they
// are still there.
func (r *Ring) Forget(citizen domain.CitizenID) {
	r.forget([]domain.CitizenID{citizen}, nil)
}

// forget drops keys. The counter moves first: a load that began before stores nothing
// after. And it moves again once they are dropped: a load that began in between may have
// opened a content key with a citizen's key that was about to go. It may have stored that
// before the counter moved, so what it stored is dropped then, too.
func (r *Ring) forget(citizens []domain.CitizenID, streams []eventstore.Stream) {
	r.gen.Add(1)
	r.drop(citizens, streams)
	r.gen.Add(1)
	r.drop(citizens, streams)
}

func (r *Ring) drop(citizens []domain.CitizenID, streams []eventstore.Stream) {
	for _, stream := range streams {
		r.streams.remove(stream)
	}
	if len(citizens) == 0 {
		return
	}
	gone := make(map[domain.CitizenID]bool, len(citizens))
	for _, citizen := range citizens {
		gone[citizen] = true
		r.subjects.remove(citizen)
	}
	r.streams.removeIf(func(k *contentKey) bool { return gone[k.citizen] })
	r.numbers.removeIf(func(citizen domain.CitizenID) bool { return gone[citizen] })
	r.refs.removeKeyIf(func(k refKey) bool { return gone[k.citizen] })
}

// forgetAll is forget of every key that is in memory.
func (r *Ring) forgetAll() {
	r.gen.Add(1)
	r.dropAll()
	r.gen.Add(1)
	r.dropAll()
}

func (r *Ring) dropAll() {
	r.subjects.removeIf(func(*subject) bool { return true })
	r.streams.removeIf(func(*contentKey) bool { return true })
	r.numbers.removeIf(func(domain.CitizenID) bool { return true })
	r.refs.removeIf(func(domain.CitizenRef) bool { return true })
}
