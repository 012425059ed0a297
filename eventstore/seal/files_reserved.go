package seal

import (
	"context"
	"errors"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// fileRow is a file as stored.
type fileRow struct {
	issuer, mediaType, stream string
	wrapped                   []byte
	version                   int // of the deployment key that seals it
	size                      int64
	state                     attachmentState
}

func fileRowOf(e *keysdb.Entry) fileRow {
	return fileRow{e.Text("issuer"), e.Text("type"), e.Text("stream"), e.Bytes("wrapped"), int(e.Int("key_version")), e.Int("size"), attachmentState(e.Int("state"))}
}

// whole reports whether the file was uploaded to its end and is still there.
func (f fileRow) whole() bool {
	return f.state == unclaimed || f.state == reserved || f.state == claimed
}

// Reserve makes files of the issuer the stream's, durably and all of them or
// none, so that no other document can name them until [Files.Release]. It
// returns them in the order asked for. It returns ErrUnknown when one of them is not
// there, is not the issuer's, or belongs to another stream.
func (fs Files) Reserve(ctx context.Context, issuer domain.Organisation, stream eventstore.Stream, ids []domain.AttachmentID) ([]File, error) {
	for attempt := 0; ; attempt++ {
		files, err := fs.reserve(ctx, issuer, stream, ids)
		if !errors.Is(err, errStale) {
			return files, err
		}
		if err := fs.ring.catchUpFiles(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// reserve returns errStale, with the files reserved, when their keys are under a version of
// the deployment key that this process does not have.
func (fs Files) reserve(ctx context.Context, issuer domain.Organisation, stream eventstore.Stream, ids []domain.AttachmentID) ([]File, error) {
	now := fs.ring.micros()
	rows, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) ([]fileRow, error) {
		rows := make([]fileRow, len(ids))
		for i, id := range ids {
			e, err := tx.Entry(attachments, `attachment = ?`, id.UUID[:])
			if err != nil || e == nil {
				return nil, err
			}
			row := fileRowOf(e)
			free := row.state == unclaimed
			ours := (row.state == reserved || row.state == claimed) && row.stream == string(stream)
			if row.issuer != string(issuer) || !free && !ours {
				return nil, nil
			}
			rows[i] = row
		}
		for _, id := range ids {
			if _, err := tx.Update(attachments, `attachment = ? AND state IN (?, ?)`, []any{id.UUID[:], unclaimed, reserved}, func(e *keysdb.Entry) {
				e.Set("state", reserved)
				e.Set("stream", string(stream))
				e.Set("changed", now)
			}); err != nil {
				return nil, err
			}
		}
		return rows, nil
	})
	switch {
	case err != nil:
		return nil, unavailable(ctx, "reserve files", err)
	case rows == nil && len(ids) > 0:
		return nil, ErrUnknown
	}
	files := make([]File, len(ids))
	for i, row := range rows {
		files[i] = File{ID: ids[i], Issuer: issuer, Type: row.mediaType, Size: row.size}
		if row.state == claimed {
			continue
		}
		if files[i].Key, files[i].Digest, err = fs.openKey(ids[i], issuer, row.wrapped, row.version); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Claim records that an event of the stream holds the keys of files, and
// overwrites those here. Files that are not reserved for it stay as they are, so it
// may be repeated.
func (fs Files) Claim(ctx context.Context, stream eventstore.Stream, ids []domain.AttachmentID) error {
	now := fs.ring.micros()
	_, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (struct{}, error) {
		for _, id := range ids {
			e, err := tx.Entry(attachments, `attachment = ? AND stream = ? AND state = ?`, id.UUID[:], string(stream), reserved)
			if err != nil {
				return struct{}{}, err
			}
			if e == nil {
				continue
			}
			if err := empty(tx, e, func() {
				e.Set("state", claimed)
				e.Set("changed", now)
			}); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return unavailable(ctx, "claim files", err)
}

// Reservation is a file that a stream's event may hold, or may not.
type Reservation struct {
	ID     domain.AttachmentID
	Stream eventstore.Stream
}

// Reserved lists at most limit reservations made before the given time.
func (fs Files) Reserved(ctx context.Context, before time.Time, limit int) ([]Reservation, error) {
	var out []Reservation
	err := fs.ring.db.Each(ctx, attachments, `state = ? AND changed < ? ORDER BY id LIMIT ?`, []any{reserved, before.UnixMicro(), limit}, func(e *keysdb.Entry, damage error) error {
		if damage != nil {
			return nil
		}
		id, err := attachmentID(e.Bytes("attachment"))
		out = append(out, Reservation{id, eventstore.Stream(e.Text("stream"))})
		return err
	})
	return out, unavailable(ctx, "read reservations", err)
}

// Release lets other documents name a file that was reserved before the given time;
// the caller has seen that no event of the stream holds it.
func (fs Files) Release(ctx context.Context, f Reservation, before time.Time) error {
	now := fs.ring.micros()
	_, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(attachments, `attachment = ? AND stream = ? AND state = ? AND changed < ?`, []any{f.ID.UUID[:], string(f.Stream), reserved, before.UnixMicro()}, func(e *keysdb.Entry) {
			e.Set("state", unclaimed)
			e.Set("stream", "")
			e.Set("changed", now)
		})
	})
	return unavailable(ctx, "release a file", err)
}
