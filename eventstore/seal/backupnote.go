package seal

import (
	"context"
	"fmt"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// BackupNote is the record that a copy of the key ring was restored for a test and is
// good.
type BackupNote struct {
	Taken         time.Time // when the copy was begun
	Verified      time.Time // when it had been restored elsewhere and read; not before Taken
	OldestVersion int       // the oldest version of the key-encryption key it needs, from 1: see [Status.Oldest] of the restored copy
	SHA256        [32]byte  // of the copy's bytes
}

// NoteBackup records durably a copy that was restored for a test. Recording it
// again does nothing. It returns an error that wraps eventstore.ErrInvalid for a note
// that proves nothing.
func (l Ledger) NoteBackup(ctx context.Context, n BackupNote) error {
	if n.Taken.IsZero() || n.Verified.Before(n.Taken) || n.OldestVersion < 1 || n.SHA256 == [32]byte{} {
		return fmt.Errorf("note of a backup: %w", eventstore.ErrInvalid)
	}
	_, err := keysdb.Do(ctx, l.ring.db, func(tx *keysdb.Tx) (bool, error) {
		return tx.InsertNew(keyBackups, n.SHA256[:], n.Taken.UnixMicro(), n.Verified.UnixMicro(), n.OldestVersion)
	})
	return unavailable(ctx, "note backup", err)
}

// ErrReportedOtherwise refuses a second time of taking for one backup.
var ErrReportedOtherwise = domain.NewError(domain.Conflict, "backupReportedOtherwise", "this backup is noted already, as taken at another moment")

// NoteBackupElsewhere is [Ledger.NoteBackup] for a copy that nobody here has read: its
// OldestVersion is set to the version by which every key was wrapped when the copy was
// taken, as the ring recorded that (the first, when none was yet). It returns what is
// noted, which for a copy known already is its first note, and ErrReportedOtherwise when
// that one says another Taken.
func (l Ledger) NoteBackupElsewhere(ctx context.Context, n BackupNote) (BackupNote, error) {
	// What is rewrapped later is noted with a later time, so this stays the answer.
	all, err := l.Rotations(ctx)
	if err != nil {
		return BackupNote{}, err
	}
	n.OldestVersion = 1
	for _, rotation := range all {
		if !rotation.Rewrapped.IsZero() && rotation.Rewrapped.UnixMicro() <= n.Taken.UnixMicro() {
			n.OldestVersion = max(n.OldestVersion, rotation.Version)
		}
	}
	if err := l.NoteBackup(ctx, n); err != nil {
		return BackupNote{}, err
	}
	e, err := l.ring.db.Entry(ctx, keyBackups, `sha256 = ?`, n.SHA256[:])
	if err == nil && e == nil {
		err = l.ring.db.Missing(keyBackups)
	}
	if err != nil {
		return BackupNote{}, unavailable(ctx, "read backups", err)
	}
	noted := noteOf(e)
	if !noted.Taken.Equal(timeOf(n.Taken.UnixMicro())) {
		return BackupNote{}, ErrReportedOtherwise
	}
	return noted, nil
}

func noteOf(e *keysdb.Entry) BackupNote {
	n := BackupNote{Taken: timeOf(e.Int("taken")), Verified: timeOf(e.Int("verified")), OldestVersion: int(e.Int("oldest_version"))}
	copy(n.SHA256[:], e.Bytes("sha256"))
	return n
}

// LastBackup returns the newest copy that was restored for a test, if any. Times
// are to the microsecond, UTC.
func (l Ledger) LastBackup(ctx context.Context) (BackupNote, bool, error) {
	e, err := l.ring.db.Entry(ctx, keyBackups, `ORDER BY taken DESC, verified DESC, sha256 LIMIT 1`)
	if err != nil || e == nil {
		return BackupNote{}, false, unavailable(ctx, "read backups", err)
	}
	return noteOf(e), true, nil
}
