package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

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

// Files are the keys of files on their way into a document. All methods may be called
// concurrently.
type Files struct{ ring *Ring }

// Files returns the ring's keys of files.
func (r *Ring) Files() Files { return Files{r} }

// File is an uploaded file that a document may name.
type File struct {
	ID     domain.AttachmentID
	Issuer domain.Organisation
	Type   string // media type
	Size   int64  // bytes
	// Key and Digest, the SHA-256 of the file, are absent when the document holds the
	// file already: they stand in its event.
	Key, Digest []byte
}

// fileAAD binds a sealed key to its file.
func fileAAD(id domain.AttachmentID, issuer domain.Organisation) []byte {
	aad := append([]byte("coffre/attachment/v1\x00"), id.UUID[:]...)
	return append(aad, issuer...)
}

func (fs Files) sealKey(id domain.AttachmentID, issuer domain.Organisation, key []byte, digest [sha256.Size]byte) (wrapped []byte, version int, err error) {
	k := fs.ring.fileKeys.Load().latest
	aead, err := newAEAD(k.secret[:])
	if err != nil {
		return nil, 0, err
	}
	plain := append(append(make([]byte, 0, keySize+sha256.Size), key...), digest[:]...)
	defer clear(plain)
	return aead.Seal(nil, nil, plain, fileAAD(id, issuer)), k.Version, nil
}

// openKey returns errStale for a version of the deployment key that this process does not
// have.
func (fs Files) openKey(id domain.AttachmentID, issuer domain.Organisation, wrapped []byte, version int) (key, digest []byte, err error) {
	k, known := fs.ring.fileKeys.Load().byVersion[version]
	if !known {
		return nil, nil, errStale
	}
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

// storeKey seals the key and the digest of a file and stores them by store, which is given
// them with the version of the deployment key; again if that was replaced meanwhile.
func (fs Files) storeKey(ctx context.Context, id domain.AttachmentID, issuer domain.Organisation, key []byte, digest [sha256.Size]byte,
	store func(tx *keysdb.Tx, wrapped []byte, version int) (int64, error)) (n int64, err error) {
	for attempt := 0; ; attempt++ {
		wrapped, version, err := fs.sealKey(id, issuer, key, digest)
		if err != nil {
			return 0, err
		}
		n, err := keysdb.Do(ctx, fs.ring.db, func(tx *keysdb.Tx) (int64, error) {
			if err := latestFileKey(tx, version); err != nil {
				return 0, err
			}
			return store(tx, wrapped, version)
		})
		if !errors.Is(err, errStale) {
			return n, err
		}
		if err := fs.ring.catchUpFiles(ctx, attempt); err != nil {
			return 0, err
		}
	}
}

// Make returns the key for a new file of the issuer, durable before it is
// returned. id is random and was never used.
func (fs Files) Make(ctx context.Context, id domain.AttachmentID, issuer domain.Organisation, mediaType string) ([]byte, error) {
	key := newKey()
	now := fs.ring.micros()
	_, err := fs.storeKey(ctx, id, issuer, key[:], [sha256.Size]byte{}, func(tx *keysdb.Tx, wrapped []byte, version int) (int64, error) {
		return 1, tx.Insert(attachments, id.UUID[:], string(issuer), uploading, wrapped, mediaType, 0, "", now, now, version)
	})
	if err != nil {
		return nil, unavailable(ctx, "make the key of a file", err)
	}
	return key[:], nil
}

// Keep records that the file was stored whole: from now on a document may name
// it. It returns ErrUnknown when the file was removed meanwhile.
func (fs Files) Keep(ctx context.Context, f File) error {
	now := fs.ring.micros()
	n, err := fs.storeKey(ctx, f.ID, f.Issuer, f.Key, [sha256.Size]byte(f.Digest), func(tx *keysdb.Tx, wrapped []byte, version int) (int64, error) {
		return tx.Update(attachments, `attachment = ? AND issuer = ? AND state IN (?, ?)`, []any{f.ID.UUID[:], string(f.Issuer), uploading, unclaimed}, func(e *keysdb.Entry) {
			e.Set("state", unclaimed)
			e.Set("wrapped", wrapped)
			e.Set("key_version", version)
			e.Set("size", f.Size)
			e.Set("changed", now)
		})
	})
	switch {
	case err != nil:
		return unavailable(ctx, "keep a file", err)
	case n == 0:
		return ErrUnknown
	}
	return nil
}

// Own returns ErrUnknown unless all of these files were uploaded whole by the
// issuer and are still there.
func (fs Files) Own(ctx context.Context, issuer domain.Organisation, ids []domain.AttachmentID) error {
	for _, id := range ids {
		e, err := fs.ring.db.Entry(ctx, attachments, `attachment = ?`, id.UUID[:])
		switch {
		case err != nil:
			return unavailable(ctx, "look for files", err)
		case e == nil || e.Text("issuer") != string(issuer) || !fileRowOf(e).whole():
			return ErrUnknown
		}
	}
	return nil
}

// Knows reports whether the ring has a row of the file, whatever its state.
func (fs Files) Knows(ctx context.Context, id domain.AttachmentID) (bool, error) {
	var one int
	found, err := fs.ring.row(ctx, `SELECT 1 FROM attachments WHERE attachment = ?`, []any{id.UUID[:]}, &one)
	return found, unavailable(ctx, "look for a file", err)
}

func attachmentID(b []byte) (domain.AttachmentID, error) {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return domain.AttachmentID{}, fmt.Errorf("file in the key ring: %w", err)
	}
	return domain.AttachmentID{UUID: id}, nil
}

// StoredFiles lists the files whose bytes have to be where files are kept: those that
// were uploaded whole, without the ones that nobody can open any more.
func StoredFiles(ctx context.Context, db *keysdb.DB) ([]domain.AttachmentID, error) {
	return storedFiles(ctx, db, ``)
}

// LastStoredFiles lists the last of them that were begun, at most so many.
func LastStoredFiles(ctx context.Context, db *keysdb.DB, most int) ([]domain.AttachmentID, error) {
	return storedFiles(ctx, db, ` ORDER BY id DESC LIMIT ?`, most)
}

func storedFiles(ctx context.Context, db *keysdb.DB, which string, args ...any) (files []domain.AttachmentID, err error) {
	s, err := db.Read(`SELECT attachment FROM attachments WHERE state IN (?, ?, ?) AND stream NOT IN (SELECT stream FROM stream_keys WHERE state = ?)` + which)
	if err != nil {
		return nil, err
	}
	var ids [][]byte
	if err := s.SelectContext(ctx, &ids, append([]any{unclaimed, reserved, claimed, keyDestroyed}, args...)...); err != nil {
		return nil, err
	}
	for _, id := range ids {
		file, err := attachmentID(id)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
