package seal

import (
	"context"
	"fmt"
	"time"

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
		_, err := tx.InsertNew(rotations, version, now, 0, 0, 0)
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
	return r.noteEnd(ctx, versions.Latest, "retired")
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
	return r.noteEnd(ctx, versions.MinDecryption, "trimmed")
}

// noteRotation records, once, when a version came to a step.
func noteRotation(tx *keysdb.Tx, version int, step string, now int64) error {
	if _, err := tx.InsertNew(rotations, version, 0, 0, 0, 0); err != nil {
		return err
	}
	_, err := tx.Update(rotations, `version = ? AND `+step+` = 0`, []any{version}, func(e *keysdb.Entry) { e.Set(step, now) })
	return err
}

// noteEnd records the end of every version below oldest.
func (r *Rotator) noteEnd(ctx context.Context, oldest int, step string) error {
	now := r.ring.micros()
	return r.note(ctx, func(tx *keysdb.Tx) error {
		for version := 1; version < oldest; version++ {
			if err := noteRotation(tx, version, step, now); err != nil {
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
	s, err := r.pepperState(ctx)
	if err != nil {
		return err
	}
	all, err := r.Ledger().Rotations(ctx)
	if err != nil {
		return err
	}
	var rewrapped time.Time // the first time
	for _, rotation := range all {
		if at := rotation.Rewrapped; rotation.Version >= oldest && !at.IsZero() && (rewrapped.IsZero() || at.Before(rewrapped)) {
			rewrapped = at
		}
	}
	n, err := r.olderThan(ctx, oldest)
	switch {
	case err != nil:
		return err
	case n > 0 || rewrapped.IsZero() || s.floor < oldest:
		return ErrNotRewrapped
	}
	e, err := r.db.Entry(ctx, keyBackups, `taken >= ? AND oldest_version >= ? LIMIT 1`, rewrapped.UnixMicro(), oldest)
	if err == nil && e == nil {
		return ErrNoBackup
	}
	return unavailable(ctx, "read backups", err)
}
