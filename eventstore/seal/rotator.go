package seal

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// A rotation of the key-encryption key goes: rotate → [Rotator.RewrapAll] → a backup
// of the key ring that was restored for a test ([Ledger.NoteBackup]) → the older
// versions are retired, which may be taken back → they are trimmed, which may not.

// Rotator replaces the key-encryption key, by new versions of it, and the pepper. A
// ring has one, which the wiring takes ([Ring.TakeRotator]) and gives to the work that
// rotates. All methods may be called concurrently.
type Rotator struct {
	ring   *Ring
	keeper KEKRotator
}

// TakeRotator returns the ring's rotator, with keeper to change the versions of the
// ring's key-encryption key, the first time, and ErrTaken after that.
func (r *Ring) TakeRotator(keeper KEKRotator) (*Rotator, error) {
	if r.rotatorTaken.Swap(true) {
		return nil, fmt.Errorf("rotator: %w", ErrTaken)
	}
	return &Rotator{r, keeper}, nil
}

// Refusals of a step that comes too early.
var (
	ErrNotRewrapped = domain.NewError(domain.Conflict, "keysNotRewrapped", "keys are still wrapped by an older version of the key-encryption key: rotate has to end first")
	ErrNoBackup     = domain.NewError(domain.Conflict, "keyBackupMissing", "no backup of the key ring that was taken after every key was wrapped again has been restored for a test")
	ErrNotRetired   = domain.NewError(domain.Conflict, "keysNotRetired", "the older versions of the key-encryption key are still in use: retire has to come first")
)

// Rotate makes a new latest version of the key-encryption key and returns it.
// [Rotator.RewrapAll] comes next.
func (r *Rotator) Rotate(ctx context.Context) (int, error) {
	version, err := r.keeper.Rotate(ctx)
	if err != nil {
		return 0, unavailable(ctx, "rotate", err)
	}
	now := r.ring.micros()
	return version, r.note(ctx, func(tx *keysdb.Tx) error {
		_, err := tx.Exec(`INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, ?, 0, 0, 0) ON CONFLICT (version) DO NOTHING`, version, now)
		return err
	})
}

func (r *Rotator) note(ctx context.Context, run func(*keysdb.Tx) error) error {
	_, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (struct{}, error) { return struct{}{}, run(tx) })
	return unavailable(ctx, "note rotation", err)
}

// Retire has the key-encryption key refuse every version below the latest. It
// returns ErrNotRewrapped while one of them wraps something, ErrNoBackup without a
// restored copy of the ring that needs none of them, and nil when it was done before.
func (r *Rotator) Retire(ctx context.Context) error {
	versions, err := r.ring.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "retire", err)
	}
	if versions.MinDecryption < versions.Latest {
		if err := r.ring.dispensable(ctx, versions.Latest); err != nil {
			return err
		}
		if err := r.keeper.SetMinDecryption(ctx, versions.Latest); err != nil {
			return unavailable(ctx, "retire", err)
		}
	}
	return r.noteEnd(ctx, versions.Latest, `INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, 0, 0, ?, 0)
		ON CONFLICT (version) DO UPDATE SET retired = excluded.retired WHERE rotations.retired = 0`)
}

// Trim destroys every version that was retired, for good. It returns ErrNotRetired
// when the latest is not the only one in use, what [Rotator.Retire] returns when a
// retired one is needed after all, and nil when it was done before.
func (r *Rotator) Trim(ctx context.Context) error {
	versions, err := r.ring.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "trim", err)
	}
	if versions.MinAvailable < versions.MinDecryption {
		if err := r.ring.dispensable(ctx, versions.MinDecryption); err != nil {
			return err
		}
		if err := r.keeper.Trim(ctx, versions.MinDecryption); err != nil {
			return unavailable(ctx, "trim", err)
		}
	} else if versions.MinDecryption < versions.Latest {
		return ErrNotRetired
	}
	return r.noteEnd(ctx, versions.MinDecryption, `INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, 0, 0, 0, ?)
		ON CONFLICT (version) DO UPDATE SET trimmed = excluded.trimmed WHERE rotations.trimmed = 0`)
}

// noteEnd records the end of every version below oldest.
func (r *Rotator) noteEnd(ctx context.Context, oldest int, insert string) error {
	now := r.ring.micros()
	return r.note(ctx, func(tx *keysdb.Tx) error {
		for version := 1; version < oldest; version++ {
			if _, err := tx.Exec(insert, version, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// dispensable returns nil when nothing needs a version below oldest: neither a row
// here, nor the copy that would be restored. Once true it stays true: the floor keeps
// older versions out.
func (r *Ring) dispensable(ctx context.Context, oldest int) error {
	var rewrapped int64
	var floor int
	if _, err := r.row(ctx, `SELECT kek_floor, (SELECT coalesce(min(rewrapped), 0) FROM rotations WHERE version >= ? AND rewrapped > 0) FROM ring_state WHERE id = 1`,
		[]any{oldest}, &floor, &rewrapped); err != nil {
		return unavailable(ctx, "read rotation", err)
	}
	n, err := r.olderThan(ctx, oldest)
	switch {
	case err != nil:
		return err
	case n > 0 || rewrapped == 0 || floor < oldest:
		return ErrNotRewrapped
	}
	var one int
	found, err := r.row(ctx, `SELECT 1 FROM key_backups WHERE taken >= ? AND oldest_version >= ? LIMIT 1`, []any{rewrapped, oldest}, &one)
	if err == nil && !found {
		return ErrNoBackup
	}
	return unavailable(ctx, "read backups", err)
}
