package seal

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// DestroyedSubject is a destruction that the log or the shred list knows of.
type DestroyedSubject struct {
	Citizen     domain.CitizenID
	Suppression Suppression
}

// DestroyedStream is a content key that the log or the shred list says is destroyed.
type DestroyedStream struct {
	Stream  eventstore.Stream
	Citizen domain.CitizenID
}

// ReapplyDestroyed makes the ring agree with every destruction the log and the
// shred list know: a copy restored from before one must not bring a key back (rule
// E-3). It is called before anything is served. A citizen or stream that the copy does
// not know at all is marked destroyed, so that no key is ever made for it; the
// suppression of such a citizen cannot be put back, for the ring never saw the
// number.
func (d *Destroyer) ReapplyDestroyed(ctx context.Context, citizens []DestroyedSubject, streams []DestroyedStream) error {
	if len(citizens)+len(streams) == 0 {
		return nil
	}
	// A restored copy may say less than what was true when the key was destroyed, so
	// what is destroyed again counts as wrapped by the newest version there is.
	versions, err := d.ring.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "destroy keys again", err)
	}
	changed := false
	for len(citizens) > 0 {
		n := min(len(citizens), MaxBatch)
		some, err := reapply(ctx, d.ring, citizens[:n], func(tx *keysdb.Tx, s DestroyedSubject) (bool, error) {
			return d.ring.reapplySubject(tx, destroying{at: d.ring.micros(), floor: versions.Latest, again: true}, s)
		})
		if err != nil {
			return unavailable(ctx, "destroy keys again", err)
		}
		changed = changed || some
		citizens = citizens[n:]
	}
	for len(streams) > 0 {
		n := min(len(streams), MaxBatch)
		some, err := reapply(ctx, d.ring, streams[:n], func(tx *keysdb.Tx, s DestroyedStream) (bool, error) {
			return d.ring.reapplyStream(tx, destroying{at: d.ring.micros(), floor: versions.Latest, again: true}, s)
		})
		if err != nil {
			return unavailable(ctx, "destroy content keys again", err)
		}
		changed = changed || some
		streams = streams[n:]
	}
	if !changed {
		return nil
	}
	d.ring.forgetAll()
	return d.ring.scrub(ctx)
}

func reapply[T any](ctx context.Context, r *Ring, items []T, one func(*keysdb.Tx, T) (bool, error)) (bool, error) {
	return upToDate(ctx, r, func() (bool, error) {
		return keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (changed bool, err error) {
			for _, item := range items {
				c, err := one(tx, item)
				if err != nil {
					return false, err
				}
				changed = changed || c
			}
			return changed, nil
		})
	})
}

func (r *Ring) reapplySubject(tx *keysdb.Tx, d destroying, s DestroyedSubject) (changed bool, err error) {
	all, err := d.rows(tx, subjects, `citizen = ?`, s.Citizen.UUID[:])
	switch {
	case err != nil:
		return false, err
	case len(all) == 0:
		return true, tx.Insert(subjects, s.Citizen.UUID[:], destroyed, nil, 0, d.at, d.floor, d.at)
	case stateOfEntry(all[0]) == destroyed && tx.Whole(all[0]):
		return false, nil
	}
	return true, r.destroySubject(tx, d, s.Citizen, s.Suppression)
}

func (r *Ring) reapplyStream(tx *keysdb.Tx, d destroying, s DestroyedStream) (changed bool, err error) {
	if len(s.Stream) == 0 || len(s.Stream) > eventstore.MaxStreamName {
		return false, fmt.Errorf("stream name: %w", eventstore.ErrInvalid)
	}
	all, err := d.rows(tx, streamKeys, `stream = ?`, string(s.Stream))
	switch {
	case err != nil:
		return false, err
	case len(all) == 0:
		return true, tx.Insert(streamKeys, string(s.Stream), s.Citizen.UUID[:], make([]byte, 16), keyDestroyed, nil, d.floor, d.at)
	case all[0].Int("state") == keyDestroyed && tx.Whole(all[0]):
		return false, nil
	}
	return true, r.destroyStream(tx, d, s.Stream)
}

// Undestroyed counts the destructions, of those that the log or the shred list knows, that
// the ring does not show as done: its keys would still open what is to be unreadable. A
// process that may not destroy refuses to serve such a ring (rule E-3).
func (r *Ring) Undestroyed(ctx context.Context, citizens []DestroyedSubject, streams []DestroyedStream) (n int, err error) {
	for _, c := range citizens {
		e, err := r.db.Entry(ctx, subjects, `citizen = ?`, c.Citizen.UUID[:])
		switch {
		case errors.Is(err, keysdb.ErrDamaged): // it may say what it was never told
			n++
		case err != nil:
			return 0, unavailable(ctx, "look for destroyed keys", err)
		case e == nil || stateOfEntry(e) != destroyed:
			n++
		}
	}
	for _, s := range streams {
		e, err := r.db.Entry(ctx, streamKeys, `stream = ?`, string(s.Stream))
		switch {
		case errors.Is(err, keysdb.ErrDamaged):
			n++
		case err != nil:
			return 0, unavailable(ctx, "look for destroyed content keys", err)
		case e == nil || e.Int("state") != keyDestroyed:
			n++
		}
	}
	return n, nil
}
