package seal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// A file on its way into a document:
//
//	(none) --Make--> uploading --Keep--> unclaimed --Reserve--> reserved --Claim--> claimed
//	                     \                  |   ^------Release----/            |
//	                      \---- too old ----+--------> doomed <---- erased ----/
//
// Until a document holds it, its key lies here, sealed under a deployment key. A
// document that is about to name it reserves it, so that no other can. Once the
// event that names it is durable the key stands in there, under the document's
// content key, and the one here is overwritten. Of a doomed file nothing is left but
// its name, by which what was stored is removed.

// attachmentState says how far a file is.
type attachmentState int

const (
	uploading attachmentState = 1
	unclaimed attachmentState = 2
	reserved  attachmentState = 3
	claimed   attachmentState = 4 // the numbers stand in indexes and queries
	doomed    attachmentState = 5
)

// File is one that was uploaded and that a document may name.
type File struct {
	ID     domain.AttachmentID
	Issuer domain.Organisation
	Type   string // media type
	Size   int64  // bytes
	// Key and Digest, the SHA-256 of the file, are absent when the document holds the
	// file already: they stand in its event.
	Key, Digest []byte
}

// wrappedFile is the bytes of a sealed key and digest: every row overwritten keeps
// its length.
const wrappedFile = 12 + keySize + sha256.Size + 16

// fileAAD binds a sealed key to its file.
func fileAAD(id domain.AttachmentID, issuer domain.Organisation) []byte {
	aad := append([]byte("coffre/attachment/v1\x00"), id.UUID[:]...)
	return append(aad, issuer...)
}

func (r *Ring) sealFileKey(id domain.AttachmentID, issuer domain.Organisation, key []byte, digest [sha256.Size]byte) ([]byte, error) {
	k := r.deployment[attachmentKey]
	aead, err := newAEAD(k.secret[:])
	if err != nil {
		return nil, err
	}
	plain := append(append(make([]byte, 0, keySize+sha256.Size), key...), digest[:]...)
	defer clear(plain)
	return aead.Seal(nil, nil, plain, fileAAD(id, issuer)), nil
}

func (r *Ring) openFileKey(id domain.AttachmentID, issuer domain.Organisation, wrapped []byte) (key, digest []byte, err error) {
	k := r.deployment[attachmentKey]
	aead, err := newAEAD(k.secret[:])
	if err != nil {
		return nil, nil, err
	}
	plain, err := aead.Open(nil, nil, wrapped, fileAAD(id, issuer))
	if err != nil || len(plain) != keySize+sha256.Size {
		return nil, nil, fmt.Errorf("key of a file: %w", eventstore.ErrTampered)
	}
	return plain[:keySize:keySize], plain[keySize:], nil
}

// MakeFile returns the key for a new file of the issuer, durable before it is
// returned. id is random and was never used.
func (r *Ring) MakeFile(ctx context.Context, id domain.AttachmentID, issuer domain.Organisation, mediaType string) ([]byte, error) {
	key := newKey()
	wrapped, err := r.sealFileKey(id, issuer, key[:], [sha256.Size]byte{})
	if err != nil {
		return nil, err
	}
	now := r.micros()
	_, err = keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`INSERT INTO attachments (attachment, issuer, state, wrapped, type, size, stream, created, changed) VALUES (?, ?, ?, ?, ?, 0, '', ?, ?)`,
			id.UUID[:], string(issuer), uploading, wrapped, mediaType, now, now)
	})
	if err != nil {
		return nil, unavailable(ctx, "make the key of a file", err)
	}
	return key[:], nil
}

// KeepFile records that the file was stored whole: from now on a document may name
// it. It returns ErrUnknown when the file was removed meanwhile.
func (r *Ring) KeepFile(ctx context.Context, f File) error {
	wrapped, err := r.sealFileKey(f.ID, f.Issuer, f.Key, [sha256.Size]byte(f.Digest))
	if err != nil {
		return err
	}
	now := r.micros()
	n, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE attachments SET state = ?, wrapped = ?, size = ?, changed = ? WHERE attachment = ? AND issuer = ? AND state IN (?, ?)`,
			unclaimed, wrapped, f.Size, now, f.ID.UUID[:], string(f.Issuer), uploading, unclaimed)
	})
	switch {
	case err != nil:
		return unavailable(ctx, "keep a file", err)
	case n == 0:
		return ErrUnknown
	}
	return nil
}

// fileRow is a file as stored.
type fileRow struct {
	issuer, mediaType, stream string
	wrapped                   []byte
	size                      int64
	state                     attachmentState
}

// OwnsFiles returns ErrUnknown unless all of these files were uploaded whole by the
// issuer and are still there.
func (r *Ring) OwnsFiles(ctx context.Context, issuer domain.Organisation, ids []domain.AttachmentID) error {
	for _, id := range ids {
		var one int
		found, err := r.row(ctx, `SELECT 1 FROM attachments WHERE attachment = ? AND issuer = ? AND state IN (?, ?, ?)`,
			[]any{id.UUID[:], string(issuer), unclaimed, reserved, claimed}, &one)
		switch {
		case err != nil:
			return unavailable(ctx, "look for files", err)
		case !found:
			return ErrUnknown
		}
	}
	return nil
}

// ReserveFiles makes files of the issuer the stream's, durably and all of them or
// none, so that no other document can name them until [Ring.ReleaseFiles]. It
// returns them in the order asked for. It returns ErrUnknown when one of them is not
// there, is not the issuer's, or belongs to another stream.
func (r *Ring) ReserveFiles(ctx context.Context, issuer domain.Organisation, stream eventstore.Stream, ids []domain.AttachmentID) ([]File, error) {
	now := r.micros()
	rows, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) ([]fileRow, error) {
		rows := make([]fileRow, len(ids))
		for i, id := range ids {
			row := &rows[i]
			err := tx.Row(`SELECT issuer, type, size, state, stream, wrapped FROM attachments WHERE attachment = ?`, []any{id.UUID[:]},
				&row.issuer, &row.mediaType, &row.size, &row.state, &row.stream, &row.wrapped)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return nil, err
			}
			free := row.state == unclaimed
			ours := (row.state == reserved || row.state == claimed) && row.stream == string(stream)
			if row.issuer != string(issuer) || !free && !ours {
				return nil, nil
			}
		}
		for _, id := range ids {
			if _, err := tx.Exec(`UPDATE attachments SET state = ?, stream = ?, changed = ? WHERE attachment = ? AND state IN (?, ?)`,
				reserved, string(stream), now, id.UUID[:], unclaimed, reserved); err != nil {
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
		if files[i].Key, files[i].Digest, err = r.openFileKey(ids[i], issuer, row.wrapped); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// ClaimFiles records that an event of the stream holds the keys of files, and
// overwrites those here. Files that are not reserved for it stay as they are, so it
// may be repeated.
func (r *Ring) ClaimFiles(ctx context.Context, stream eventstore.Stream, ids []domain.AttachmentID) error {
	now := r.micros()
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
		for _, id := range ids {
			for _, wrapped := range []any{make([]byte, wrappedFile), nil} { // overwritten where it lies, then gone
				if _, err := tx.Exec(`UPDATE attachments SET wrapped = ?, changed = ? WHERE attachment = ? AND stream = ? AND state = ?`,
					wrapped, now, id.UUID[:], string(stream), reserved); err != nil {
					return struct{}{}, err
				}
			}
			if _, err := tx.Exec(`UPDATE attachments SET state = ? WHERE attachment = ? AND stream = ? AND state = ?`,
				claimed, id.UUID[:], string(stream), reserved); err != nil {
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

// Reserved lists at most limit reservations made before a moment.
func (r *Ring) Reserved(ctx context.Context, before time.Time, limit int) ([]Reservation, error) {
	var out []Reservation
	err := r.rows(ctx, `SELECT attachment, stream FROM attachments WHERE state = ? AND changed < ? ORDER BY id LIMIT ?`, []any{reserved, before.UnixMicro(), limit},
		func(scan func(...any) error) error {
			var id []byte
			var stream string
			if err := scan(&id, &stream); err != nil {
				return err
			}
			parsed, err := attachmentID(id)
			out = append(out, Reservation{parsed, eventstore.Stream(stream)})
			return err
		})
	return out, unavailable(ctx, "read reservations", err)
}

// ReleaseFile lets other documents name a file that was reserved before a moment;
// the caller has seen that no event of the stream holds it.
func (r *Ring) ReleaseFile(ctx context.Context, f Reservation, before time.Time) error {
	now := r.micros()
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`UPDATE attachments SET state = ?, stream = '', changed = ? WHERE attachment = ? AND stream = ? AND state = ? AND changed < ?`,
			unclaimed, now, f.ID.UUID[:], string(f.Stream), reserved, before.UnixMicro())
	})
	return unavailable(ctx, "release a file", err)
}

// doomFiles overwrites the keys of files and leaves their names, to be removed by.
func doomFiles(tx *keysdb.Tx, now int64, where string, args ...any) (int64, error) {
	if _, err := tx.Exec(`UPDATE attachments SET wrapped = ? WHERE wrapped IS NOT NULL AND `+where, append([]any{make([]byte, wrappedFile)}, args...)...); err != nil {
		return 0, err
	}
	return tx.Exec(`UPDATE attachments SET wrapped = NULL, state = ?, changed = ? WHERE state <> ? AND `+where, append([]any{doomed, now, doomed}, args...)...)
}

// DoomFiles overwrites the keys of the issuer's files whose upload came to nothing.
func (r *Ring) DoomFiles(ctx context.Context, ids ...domain.AttachmentID) error {
	now := r.micros()
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (n int64, err error) {
		for _, id := range ids {
			if n, err = doomFiles(tx, now, `attachment = ? AND state IN (?, ?)`, id.UUID[:], uploading, unclaimed); err != nil {
				return n, err
			}
		}
		return n, nil
	})
	return unavailable(ctx, "drop files", err)
}

// DoomStale overwrites the keys of files that were made before a moment and that no
// document has named, and of those whose document's key was destroyed. It then
// removes what is left of the keys in the write-ahead log.
func (r *Ring) DoomStale(ctx context.Context, before time.Time) error {
	now := r.micros()
	n, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
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
	return r.scrub(ctx)
}

// Doomed lists at most limit files whose stored bytes are to be removed.
func (r *Ring) Doomed(ctx context.Context, limit int) ([]domain.AttachmentID, error) {
	var out []domain.AttachmentID
	err := r.rows(ctx, `SELECT attachment FROM attachments WHERE state = ? ORDER BY id LIMIT ?`, []any{doomed, limit}, func(scan func(...any) error) error {
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

// ForgetFile removes the last trace of a doomed file, once its bytes are gone.
func (r *Ring) ForgetFile(ctx context.Context, id domain.AttachmentID) error {
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM attachments WHERE attachment = ? AND state = ?`, id.UUID[:], doomed)
	})
	return unavailable(ctx, "forget a file", err)
}

// KnowsFile reports whether the ring has a row of the file, whatever its state.
func (r *Ring) KnowsFile(ctx context.Context, id domain.AttachmentID) (bool, error) {
	var one int
	found, err := r.row(ctx, `SELECT 1 FROM attachments WHERE attachment = ?`, []any{id.UUID[:]}, &one)
	return found, unavailable(ctx, "look for a file", err)
}

func attachmentID(b []byte) (domain.AttachmentID, error) {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return domain.AttachmentID{}, fmt.Errorf("file in the key ring: %w", err)
	}
	return domain.AttachmentID{UUID: id}, nil
}
