package seal

import (
	"context"
	"fmt"
	"time"

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
