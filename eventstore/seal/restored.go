package seal

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// KeyVersions are the oldest and the latest version of the key-encryption key that wraps
// a key; 0 and 0 when none is wrapped.
type KeyVersions struct{ Oldest, Latest int }

// VersionsIn returns the versions that whoever opens a copy of a key database needs. integers
// reads those of the first row that a query on the copy finds; a NULL reads as 0.
func VersionsIn(integers func(query string, into ...*int64) error) (v KeyVersions, err error) {
	var oldest, latest int64
	err = integers(`SELECT min(v), max(v) FROM (SELECT kek_version AS v FROM subjects WHERE wrapped IS NOT NULL UNION ALL SELECT kek_version FROM deployment_keys) AS wraps`, &oldest, &latest)
	if err != nil {
		return v, fmt.Errorf("versions of wrapped keys: %w", err)
	}
	return KeyVersions{int(oldest), int(latest)}, nil
}

// Restored is a restored key ring from which nothing is served yet. Shredding it again
// needs no key-encryption key, because whoever shreds need not be able to decrypt (rule
// E-2). Its methods are for one goroutine at a time.
type Restored struct{ ring *Ring }

// OpenRestored takes the ring in db, which stays the caller's to close.
func OpenRestored(ctx context.Context, db *keysdb.DB) (*Restored, error) {
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	r := &Ring{db: db, kek: noKEK{}, cfg: Config{Now: time.Now}}
	r.subjects = newCache[domain.CitizenID](1, (*subject).zero)
	r.streams = newCache[eventstore.Stream](1, func(*contentKey) {})
	r.numbers = newCache[[32]byte](1, func(domain.CitizenID) {})
	r.refs = newCache[refKey](1, func(domain.CitizenRef) {})
	return &Restored{r}, nil
}

// ReapplyDestroyed is [Destroyer.ReapplyDestroyed].
func (c *Restored) ReapplyDestroyed(ctx context.Context, citizens []DestroyedSubject, streams []DestroyedStream) error {
	return (&Destroyer{c.ring}).ReapplyDestroyed(ctx, citizens, streams)
}

// Missing returns those of the citizens, which the log names, that have no row in the ring: the
// copy is older than the log, or damaged.
func (c *Restored) Missing(ctx context.Context, citizens []domain.CitizenID) ([]domain.CitizenID, error) {
	return c.ring.withoutRow(ctx, citizens)
}

// MissingStreams counts the streams whose records are sealed under a key that the
// ring does not have. A destroyed key is not missing.
func (c *Restored) MissingStreams(ctx context.Context, keys map[eventstore.Stream]uuid.UUID) (missing int, err error) {
	for stream, id := range keys {
		var st int
		var held []byte
		found, err := c.ring.row(ctx, `SELECT state, key_id FROM stream_keys WHERE stream = ?`, []any{string(stream)}, &st, &held)
		if err != nil {
			return 0, unavailable(ctx, "read stream keys", err)
		}
		if !found || st != keyDestroyed && string(held) != string(id[:]) {
			missing++
		}
	}
	return missing, nil
}

// Destroyed reports whether the content key of a stream was destroyed.
func (c *Restored) Destroyed(ctx context.Context, stream eventstore.Stream) (bool, error) {
	var one int
	found, err := c.ring.row(ctx, `SELECT 1 FROM stream_keys WHERE stream = ? AND state = ?`, []any{string(stream), keyDestroyed}, &one)
	return found, unavailable(ctx, "read stream keys", err)
}

// Check has the database compare its indexes with its tables and both with the form
// of the file.
func (c *Restored) Check(ctx context.Context) error {
	var said string
	if _, err := c.ring.row(ctx, `PRAGMA integrity_check(1)`, nil, &said); err != nil {
		return unavailable(ctx, "check the key database", err)
	}
	if said != "ok" {
		return fmt.Errorf("the key database's structure is damaged: %s", said)
	}
	return nil
}

// Settle ends the shredding of a restored ring: what was destroyed is in no file any more,
// and the next ring that is opened here is told of the restore (see [Ring.noteRestores]).
func (c *Restored) Settle(ctx context.Context) error {
	_, err := keysdb.Do(ctx, c.ring.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO restores (at) VALUES (?)`, c.ring.micros())
	})
	if err != nil {
		return unavailable(ctx, "settle a restored ring", err)
	}
	return c.ring.scrub(ctx)
}

// noteRestores takes note that this ring is a restored copy: of whatever is destroyed in
// it the version of the key-encryption key that wrapped it counts as unknown, hence as the
// newest there is when somebody asks (see [Destruction]), because a copy from before says
// less than was true. A damaged row stays as it is.
func (r *Ring) noteRestores(ctx context.Context) error {
	var at int64
	if found, err := r.row(ctx, `SELECT at FROM restores LIMIT 1`, nil, &at); err != nil || !found {
		return unavailable(ctx, "read restores", err)
	}
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		for _, t := range []struct {
			*keysdb.Table
			where string
			state any
		}{{subjects, `state = ?`, destroyed}, {streamKeys, `state = ?`, keyDestroyed}} {
			all, err := tx.Unverified(t.Table, t.where, t.state)
			if err != nil {
				return 0, err
			}
			for _, e := range all {
				if !tx.Whole(e) {
					continue
				}
				e.Set("destroyed_version", 0)
				if err := tx.Put(e); err != nil {
					return 0, err
				}
			}
		}
		return tx.Exec(`DELETE FROM restores`)
	})
	return unavailable(ctx, "note a restore", err)
}

// noKEK stands in for a key-encryption key where there is none. Nothing asks it to wrap.
type noKEK struct{}

var errNoKEK = fmt.Errorf("no key-encryption key: %w", eventstore.ErrKeysUnavailable)

func (noKEK) Wrap(context.Context, []WrapItem) ([]Wrapped, error)       { return nil, errNoKEK }
func (noKEK) Unwrap(context.Context, []UnwrapItem) ([]Unwrapped, error) { return nil, errNoKEK }
func (noKEK) Rewrap(context.Context, []UnwrapItem) ([]Wrapped, error)   { return nil, errNoKEK }
func (noKEK) Versions(context.Context) (Versions, error)                { return Versions{}, nil }
