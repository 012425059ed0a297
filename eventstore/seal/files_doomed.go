package seal

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// doomFiles overwrites the keys of files and leaves their names, to be removed by.
func (r *Ring) doomFiles(tx *keysdb.Tx, d destroying, where string, args ...any) (int64, error) {
	all, err := d.rows(tx, attachments, `state <> 5 AND `+where, args...)
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		if err := empty(tx, e, func() {
			if r.keyless() { // whoever has the keys finds it again by its state
				return
			}
			e.Set("state", doomed)
			e.Set("changed", d.at)
		}); err != nil {
			return 0, err
		}
	}
	return int64(len(all)), nil
}

// Doom overwrites the keys of the issuer's files whose upload came to nothing.
func (fs Files) Doom(ctx context.Context, ids ...domain.AttachmentID) error {
	now := fs.ring.micros()
	_, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (n int64, err error) {
		for _, id := range ids {
			if n, err = fs.ring.doomFiles(tx, destroying{at: now}, `attachment = ? AND state IN (?, ?)`, id.UUID[:], uploading, unclaimed); err != nil {
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
		stale, err := fs.ring.doomFiles(tx, destroying{at: now, passing: true}, `state IN (?, ?) AND created < ?`, uploading, unclaimed, before.UnixMicro())
		if err != nil {
			return 0, err
		}
		erased, err := fs.ring.doomFiles(tx, destroying{at: now, passing: true}, `state IN (3, 4) AND stream IN (SELECT stream FROM stream_keys WHERE state = ?)`, keyDestroyed)
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
	err := fs.ring.db.Each(ctx, attachments, `state = ? ORDER BY id LIMIT ?`, []any{doomed, limit}, func(e *keysdb.Entry, damage error) error {
		if damage != nil {
			return nil
		}
		id, err := attachmentID(e.Bytes("attachment"))
		out = append(out, id)
		return err
	})
	return out, unavailable(ctx, "read doomed files", err)
}

// Forget removes the last trace of a doomed file, once its bytes are gone.
func (fs Files) Forget(ctx context.Context, id domain.AttachmentID) error {
	_, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Delete(attachments, `attachment = ? AND state = ?`, id.UUID[:], doomed)
	})
	return unavailable(ctx, "forget a file", err)
}
