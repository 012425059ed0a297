package seal

import (
	"context"
	"database/sql"
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
			return reapplySubject(tx, d.ring.micros(), versions.Latest, s)
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
			return reapplyStream(tx, d.ring.micros(), versions.Latest, s)
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
}

func reapplySubject(tx *keysdb.Tx, now int64, latest int, d DestroyedSubject) (changed bool, err error) {
	st, err := stateOf(tx, d.Citizen)
	switch {
	case err != nil || st == destroyed:
		return false, err
	case st == 0:
		_, err = tx.Exec(`INSERT INTO subjects (citizen, state, wrapped, kek_version, created, destroyed_version, destroyed) VALUES (?, ?, NULL, 0, ?, ?, ?)`,
			d.Citizen.UUID[:], destroyed, now, latest, now)
		return true, err
	}
	return true, destroySubject(tx, now, latest, d.Citizen, d.Suppression)
}

func reapplyStream(tx *keysdb.Tx, now int64, latest int, d DestroyedStream) (changed bool, err error) {
	if len(d.Stream) == 0 || len(d.Stream) > eventstore.MaxStreamName {
		return false, fmt.Errorf("stream name: %w", eventstore.ErrInvalid)
	}
	var st int
	err = tx.Row(`SELECT state FROM stream_keys WHERE stream = ?`, []any{string(d.Stream)}, &st)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = tx.Exec(`INSERT INTO stream_keys (stream, citizen, key_id, state, wrapped, destroyed_version, destroyed) VALUES (?, ?, ?, ?, NULL, ?, ?)`,
			string(d.Stream), d.Citizen.UUID[:], make([]byte, 16), keyDestroyed, latest, now)
		return true, err
	case err != nil || st == keyDestroyed:
		return false, err
	}
	return true, destroyStream(tx, now, latest, d.Stream)
}

// Undestroyed counts the destructions, of those that the log or the shred list knows, that
// the ring does not show as done: its keys would still open what is to be unreadable. A
// process that may not destroy refuses to serve such a ring (rule E-3).
func (r *Ring) Undestroyed(ctx context.Context, citizens []DestroyedSubject, streams []DestroyedStream) (n int, err error) {
	for _, c := range citizens {
		var st state
		found, err := r.row(ctx, `SELECT state FROM subjects WHERE citizen = ?`, []any{c.Citizen.UUID[:]}, &st)
		if err != nil {
			return 0, unavailable(ctx, "look for destroyed keys", err)
		}
		if !found || st != destroyed {
			n++
		}
	}
	for _, s := range streams {
		var st int
		found, err := r.row(ctx, `SELECT state FROM stream_keys WHERE stream = ?`, []any{string(s.Stream)}, &st)
		if err != nil {
			return 0, unavailable(ctx, "look for destroyed content keys", err)
		}
		if !found || st != keyDestroyed {
			n++
		}
	}
	return n, nil
}
