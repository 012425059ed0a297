package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// A rotation of the key-encryption key goes: rotate → [Ring.RewrapAll] → a backup
// of the key ring that was restored for a test ([Ring.NoteBackup]) → the older
// versions are retired, which may be taken back → they are trimmed, which may not.

// Rotation is the course of one version of the key-encryption key. Times are to the
// microsecond, UTC; zero: not yet, or before the ring kept them.
type Rotation struct {
	Version   int
	Rotated   time.Time // it became the latest
	Rewrapped time.Time // nothing was wrapped by an older one any more
	Retired   time.Time // it opens nothing any more
	Trimmed   time.Time // it is destroyed: at this time or before
}

// Refusals of a step that comes too early.
var (
	ErrNotRewrapped = domain.NewError(domain.Conflict, "keysNotRewrapped", "keys are still wrapped by an older version of the key-encryption key: rotate has to end first")
	ErrNoBackup     = domain.NewError(domain.Conflict, "keyBackupMissing", "no backup of the key ring that was taken after every key was wrapped again has been restored for a test")
	ErrNotRetired   = domain.NewError(domain.Conflict, "keysNotRetired", "the older versions of the key-encryption key are still in use: retire has to come first")
)

// Rotate makes a new latest version of the key-encryption key and returns it.
// [Ring.RewrapAll] comes next.
func (r *Ring) Rotate(ctx context.Context, rotator Rotator) (int, error) {
	version, err := rotator.Rotate(ctx)
	if err != nil {
		return 0, unavailable(ctx, "rotate", err)
	}
	now := r.micros()
	return version, r.note(ctx, func(tx *keysdb.Tx) error {
		_, err := tx.Exec(`INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, ?, 0, 0, 0) ON CONFLICT (version) DO NOTHING`, version, now)
		return err
	})
}

func (r *Ring) note(ctx context.Context, run func(*keysdb.Tx) error) error {
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) { return struct{}{}, run(tx) })
	return unavailable(ctx, "note rotation", err)
}

func (r *Ring) noteRewrapped(ctx context.Context, version int) error {
	now := r.micros()
	return r.note(ctx, func(tx *keysdb.Tx) error {
		_, err := tx.Exec(`INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, 0, ?, 0, 0)
			ON CONFLICT (version) DO UPDATE SET rewrapped = excluded.rewrapped WHERE rotations.rewrapped = 0`, version, now)
		return err
	})
}

// Retire has the key-encryption key refuse every version below the latest. It
// returns ErrNotRewrapped while one of them wraps something, ErrNoBackup without a
// restored copy of the ring that needs none of them, and nil when it was done before.
func (r *Ring) Retire(ctx context.Context, rotator Rotator) error {
	versions, err := r.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "retire", err)
	}
	if versions.MinDecryption < versions.Latest {
		if err := r.dispensable(ctx, versions.Latest); err != nil {
			return err
		}
		if err := rotator.SetMinDecryption(ctx, versions.Latest); err != nil {
			return unavailable(ctx, "retire", err)
		}
	}
	return r.noteEnd(ctx, versions.Latest, `INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, 0, 0, ?, 0)
		ON CONFLICT (version) DO UPDATE SET retired = excluded.retired WHERE rotations.retired = 0`)
}

// Trim destroys every version that was retired, for good. It returns ErrNotRetired
// when the latest is not the only one in use, what [Ring.Retire] returns when a
// retired one is needed after all, and nil when it was done before.
func (r *Ring) Trim(ctx context.Context, rotator Rotator) error {
	versions, err := r.kek.Versions(ctx)
	if err != nil {
		return unavailable(ctx, "trim", err)
	}
	if versions.MinAvailable < versions.MinDecryption {
		if err := r.dispensable(ctx, versions.MinDecryption); err != nil {
			return err
		}
		if err := rotator.Trim(ctx, versions.MinDecryption); err != nil {
			return unavailable(ctx, "trim", err)
		}
	} else if versions.MinDecryption < versions.Latest {
		return ErrNotRetired
	}
	return r.noteEnd(ctx, versions.MinDecryption, `INSERT INTO rotations (version, rotated, rewrapped, retired, trimmed) VALUES (?, 0, 0, 0, ?)
		ON CONFLICT (version) DO UPDATE SET trimmed = excluded.trimmed WHERE rotations.trimmed = 0`)
}

// noteEnd records the end of every version below oldest.
func (r *Ring) noteEnd(ctx context.Context, oldest int, insert string) error {
	now := r.micros()
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

// Step is what a rotation of the key-encryption key waits for.
type Step string

// The steps of a rotation, in order.
const (
	StepRotate Step = "rotate" // nothing is under way
	StepRewrap Step = "rewrap"
	StepBackUp Step = "backUp"
	StepRetire Step = "retire"
	StepTrim   Step = "trim"
)

// NextStep tells what comes next. It counts the whole ring: seconds for millions of
// citizens.
func (r *Ring) NextStep(ctx context.Context) (Step, error) {
	versions, err := r.kek.Versions(ctx)
	if err != nil {
		return "", unavailable(ctx, "read versions", err)
	}
	oldest, step := versions.Latest, StepRetire
	switch {
	case versions.MinAvailable == versions.Latest:
		return StepRotate, nil
	case versions.MinDecryption == versions.Latest:
		step = StepTrim
	}
	switch err := r.dispensable(ctx, oldest); {
	case errors.Is(err, ErrNotRewrapped):
		return StepRewrap, nil
	case errors.Is(err, ErrNoBackup):
		return StepBackUp, nil
	case err != nil:
		return "", err
	}
	return step, nil
}

// Rotations returns what the ring knows of each version of the key-encryption key,
// by version.
func (r *Ring) Rotations(ctx context.Context) ([]Rotation, error) {
	var out []Rotation
	err := r.rows(ctx, `SELECT version, rotated, rewrapped, retired, trimmed FROM rotations ORDER BY version`, nil, func(scan func(...any) error) error {
		var version int
		var at [4]int64
		if err := scan(&version, &at[0], &at[1], &at[2], &at[3]); err != nil {
			return err
		}
		out = append(out, Rotation{version, moment(at[0]), moment(at[1]), moment(at[2]), moment(at[3])})
		return nil
	})
	return out, unavailable(ctx, "read rotations", err)
}

// TrimmedVersion is a version of the key-encryption key that exists no more.
type TrimmedVersion struct {
	Version int
	At      time.Time // it was gone then, perhaps shortly before
}

// Trimmed returns the versions that were destroyed, by version. What a copy of the
// database still has under one of them is readable by nobody, except with a snapshot
// of the keeper from before.
func (r *Ring) Trimmed(ctx context.Context) ([]TrimmedVersion, error) {
	rotations, err := r.Rotations(ctx)
	if err != nil {
		return nil, err
	}
	var out []TrimmedVersion
	for _, rotation := range rotations {
		if !rotation.Trimmed.IsZero() {
			out = append(out, TrimmedVersion{rotation.Version, rotation.Trimmed})
		}
	}
	return out, nil
}

// BackupNote says that a copy of the key ring is good.
type BackupNote struct {
	Taken         time.Time // when the copy was begun
	Verified      time.Time // when it had been restored elsewhere and read; not before Taken
	OldestVersion int       // the oldest version of the key-encryption key it needs, from 1: see [Status.Oldest] of the restored copy
	SHA256        [32]byte  // of the copy's bytes
}

// NoteBackup records durably a copy that was restored for a test. Recording it
// again does nothing. It returns an error that wraps eventstore.ErrInvalid for a note
// that proves nothing.
func (r *Ring) NoteBackup(ctx context.Context, n BackupNote) error {
	if n.Taken.IsZero() || n.Verified.Before(n.Taken) || n.OldestVersion < 1 || n.SHA256 == [32]byte{} {
		return fmt.Errorf("note of a backup: %w", eventstore.ErrInvalid)
	}
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO key_backups (sha256, taken, verified, oldest_version) VALUES (?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING`,
			n.SHA256[:], n.Taken.UnixMicro(), n.Verified.UnixMicro(), n.OldestVersion)
	})
	return unavailable(ctx, "note backup", err)
}

// ErrReportedOtherwise refuses a second moment for one backup.
var ErrReportedOtherwise = domain.NewError(domain.Conflict, "backupReportedOtherwise", "this backup is noted already, as taken at another moment")

// NoteBackupElsewhere is [Ring.NoteBackup] for a copy that nobody here has read: its
// OldestVersion is set to the version by which every key was wrapped when the copy was
// taken, as the ring recorded that (the first, when none was yet). It returns what is
// noted, which for a copy known already is its first note, and ErrReportedOtherwise when
// that one says another Taken.
func (r *Ring) NoteBackupElsewhere(ctx context.Context, n BackupNote) (BackupNote, error) {
	// What is rewrapped later is noted with a later time, so this stays the answer.
	if _, err := r.row(ctx, `SELECT coalesce(max(version), 1) FROM rotations WHERE rewrapped > 0 AND rewrapped <= ?`,
		[]any{n.Taken.UnixMicro()}, &n.OldestVersion); err != nil {
		return BackupNote{}, unavailable(ctx, "read rotations", err)
	}
	if err := r.NoteBackup(ctx, n); err != nil {
		return BackupNote{}, err
	}
	var taken, verified int64
	if _, err := r.row(ctx, `SELECT taken, verified, oldest_version FROM key_backups WHERE sha256 = ?`, []any{n.SHA256[:]},
		&taken, &verified, &n.OldestVersion); err != nil {
		return BackupNote{}, unavailable(ctx, "read backups", err)
	}
	if taken != n.Taken.UnixMicro() {
		return BackupNote{}, ErrReportedOtherwise
	}
	n.Taken, n.Verified = moment(taken), moment(verified)
	return n, nil
}

// LastBackup returns the newest copy that was restored for a test, if any. Times
// are to the microsecond, UTC.
func (r *Ring) LastBackup(ctx context.Context) (BackupNote, bool, error) {
	var n BackupNote
	var sum []byte
	var taken, verified int64
	found, err := r.row(ctx, `SELECT sha256, taken, verified, oldest_version FROM key_backups ORDER BY taken DESC, verified DESC, sha256 LIMIT 1`, nil,
		&sum, &taken, &verified, &n.OldestVersion)
	if err != nil || !found {
		return BackupNote{}, false, unavailable(ctx, "read backups", err)
	}
	copy(n.SHA256[:], sum)
	n.Taken, n.Verified = moment(taken), moment(verified)
	return n, true, nil
}

// moment is a time as the database keeps it; 0 is none.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
