package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"filippo.io/age"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// Backups takes backups of all data that cannot be derived from other data. Its methods may
// be called concurrently.
type Backups interface {
	// Begin opens a backup of the state as it is now, encrypted to the recipients. It returns
	// ErrBackupUnderWay while another backup is open. ctx bounds Begin only.
	Begin(ctx context.Context, to []age.Recipient) (TakenBackup, error)
	// Find returns the backup with the hash; found is false when this vault made none.
	Find(ctx context.Context, sum backup.Sum) (made backup.Made, found bool, err error)
}

// TakenBackup is an open backup: the state at one instant. It is used by one goroutine.
type TakenBackup interface {
	io.WriterTo // writes the encrypted archive; called once
	// End returns the position of the last event in the backup.
	End() eventstore.Position
	// Close releases the state; another backup may begin then.
	Close() error
}

var (
	// ErrBackupUnderWay refuses a backup while another one is open.
	ErrBackupUnderWay  = domain.NewError(domain.Conflict, "backupUnderWay", "a backup is being taken; one at a time")
	errBackupElsewhere = domain.NewError(domain.Conflict, "backupElsewhere", "the log of this vault lies in KurrentDB, or apart from its keys: databases like that are backed up by their own tools; see deploy/runbooks/backup.md")
	// ErrFilesElsewhere refuses a backup that would lack files of documents.
	ErrFilesElsewhere = domain.NewError(domain.Conflict, "filesElsewhere", "files of documents lie in the directories of other processes, where a backup does not find them: bring them to a bucket (COFFRE_BLOBS)")
	errBackupUnknown  = domain.NewError(domain.Conflict, "backupUnknown", "this vault made no such backup")
)

// CreateBackup implements POST /backups: an archive of the vault, encrypted to the
// recipients, which is sent while it is made. That it is taken is on record before a byte
// leaves; the record itself is not in the backup.
func (v *Vault) CreateBackup(ctx context.Context, r contract.CreateBackupRequestObject) (contract.CreateBackupResponseObject, error) {
	if v.Backups == nil {
		return nil, errBackupElsewhere
	}
	to, err := backup.ParseRecipients(r.Body.Recipients)
	if err != nil {
		return nil, edge.BadInput("/recipients", "recipient", "age1... as age-keygen prints it for you, not the one of the example; all of one kind")
	}
	taken, err := v.Backups.Begin(ctx, to)
	if err != nil {
		return nil, err
	}
	at, err := v.PositionToken(ctx, taken.End())
	if err == nil {
		err = v.recordAct(ctx, v.NewIntent(ctx), audit.Operate{Act: audit.CreateBackup})
	}
	if err != nil {
		return nil, errors.Join(err, taken.Close())
	}
	return &backupContent{v, ctx, taken, at}, nil
}

// backupContent sends a backup of any size in constant memory, for as long as the client
// goes on reading.
type backupContent struct {
	v     *Vault
	ctx   context.Context // for the log only
	taken TakenBackup
	at    contract.PositionToken
}

// VisitCreateBackupResponse implements CreateBackupResponseObject. An answer that cannot be
// finished is cut off, so that its beginning does not pass for a complete backup.
func (c *backupContent) VisitCreateBackupResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="coffre-%s.age"`, c.v.Now().UTC().Format("20060102T150405Z")))
	h.Set("Coffre-Position", c.at)
	n, err := c.taken.WriteTo(edge.NewDeadlineWriter(w))
	err = errors.Join(err, c.taken.Close())
	if err == nil {
		c.v.Slog.InfoContext(c.ctx, "a backup was taken", slog.Int64("bytes", n), slog.String("subject", c.v.AuditName(edge.CallFrom(c.ctx).Caller)))
		return nil
	}
	if n == 0 {
		return fmt.Errorf("take a backup: %w", err)
	}
	c.v.Slog.ErrorContext(c.ctx, "a backup was cut off", slog.Int64("bytes", n), slog.Any("error", err))
	panic(http.ErrAbortHandler)
}
