package seal

import (
	"context"
	"time"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// UnclaimedFile is an uploaded file that no document names.
type UnclaimedFile struct {
	ID     domain.AttachmentID
	Issuer domain.Organisation
	Type   string // media type
	Size   int64  // bytes
	Made   time.Time
	// Place orders the files of a ring, the oldest first.
	Place int64
}

// Unclaimed returns the uploaded files that no document names, behind a place and at most so
// many: of the issuer, or of every issuer for ""; only that one, if it is given. Files of
// damaged rows are left out.
func (fs Files) Unclaimed(ctx context.Context, issuer domain.Organisation, only *domain.AttachmentID, after int64, limit int) ([]UnclaimedFile, error) {
	where, args := `state = ? AND id > ?`, []any{unclaimed, after}
	if issuer != "" {
		where, args = where+` AND issuer = ?`, append(args, string(issuer))
	}
	if only != nil {
		where, args = where+` AND attachment = ?`, append(args, only.UUID[:])
	}
	var out []UnclaimedFile
	err := fs.ring.db.Each(ctx, attachments, where+` ORDER BY id LIMIT ?`, append(args, limit), func(e *keysdb.Entry, damage error) error {
		if damage != nil {
			return nil
		}
		id, err := attachmentID(e.Bytes("attachment"))
		out = append(out, UnclaimedFile{
			ID: id, Issuer: domain.Organisation(e.Text("issuer")), Type: e.Text("type"), Size: e.Int("size"),
			Made: time.UnixMicro(e.Int("created")).UTC(), Place: e.Number(),
		})
		return err
	})
	return out, unavailable(ctx, "list unclaimed files", err)
}
