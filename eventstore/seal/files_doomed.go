package seal

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// doomFiles overwrites the keys of files and leaves their names, to be removed by.
func doomFiles(tx *keysdb.Tx, now int64, where string, args ...any) (int64, error) {
	if _, err := tx.Exec(`UPDATE attachments SET wrapped = ? WHERE wrapped IS NOT NULL AND `+where, append([]any{make([]byte, wrappedFile)}, args...)...); err != nil {
		return 0, err
	}
	return tx.Exec(`UPDATE attachments SET wrapped = NULL, state = ?, changed = ? WHERE state <> ? AND `+where, append([]any{doomed, now, doomed}, args...)...)
}

// Doom overwrites the keys of the issuer's files whose upload came to nothing.
func (fs Files) Doom(ctx context.Context, ids ...domain.AttachmentID) error {
	now := fs.ring.micros()
	_, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (n int64, err error) {
		for _, id := range ids {
			if n, err = doomFiles(tx, now, `attachment = ? AND state IN (?, ?)`, id.UUID[:], uploading, unclaimed); err != nil {
				return n, err
			}
		}
		return n, nil
	})
	return unavailable(ctx, "drop files", err)
}

// DoomStale overwrites the keys of files that were made before the given time and that no
// document has named, and of those whose document's key was destroyed. It then
// removes what is left of the keys in the write-ahead log.
func (fs Files) DoomStale(ctx context.Context, before time.Time) error {
	now := fs.ring.micros()
	n, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (int64, error) {
		stale, err := doomFiles(tx, now, `state IN (?, ?) AND created < ?`, uploading, unclaimed, before.UnixMicro())
		if err != nil {
			return 0, err
		}
		erased, err := doomFiles(tx, now, `state IN (3, 4) AND stream IN (SELECT stream FROM stream_keys WHERE state = ?)`, keyDestroyed)
		return stale + erased, err
	})
	if err != nil {
		return unavailable(ctx, "drop files", err)
	}
	if n == 0 {
		return nil
	}
	return fs.ring.scrub(ctx)
}

// Doomed lists at most limit files whose stored bytes are to be removed.
func (fs Files) Doomed(ctx context.Context, limit int) ([]domain.AttachmentID, error) {
	var out []domain.AttachmentID
	err := fs.ring.rows(ctx, `SELECT attachment FROM attachments WHERE state = ? ORDER BY id LIMIT ?`, []any{doomed, limit}, func(scan func(...any) error) error {
		var id []byte
		if err := scan(&id); err != nil {
			return err
		}
		parsed, err := attachmentID(id)
		out = append(out, parsed)
		return err
	})
	return out, unavailable(ctx, "read doomed files", err)
}

// Forget removes the last trace of a doomed file, once its bytes are gone.
func (fs Files) Forget(ctx context.Context, id domain.AttachmentID) error {
	_, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM attachments WHERE attachment = ? AND state = ?`, id.UUID[:], doomed)
	})
	return unavailable(ctx, "forget a file", err)
}
