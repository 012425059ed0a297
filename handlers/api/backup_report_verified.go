package api

import (
	"context"
	"time"

	"coffre/domain/audit"
	"coffre/eventstore/backup"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// ReportVerifiedBackup implements POST /backups/reportVerified: an operator reports that a
// backup of this vault was read back and found good.
func (v *Vault) ReportVerifiedBackup(ctx context.Context, r contract.ReportVerifiedBackupRequestObject) (contract.ReportVerifiedBackupResponseObject, error) {
	if v.Backups == nil {
		return nil, errBackupElsewhere
	}
	var sum backup.Sum
	if err := sum.UnmarshalText([]byte(r.Body.Sha256)); err != nil {
		return nil, edge.BadInput("/sha256", "digest", "the SHA-256 of the file, in hexadecimal digits")
	}
	type noted struct {
		Taken, Verified time.Time
		Oldest          int
	}
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (noted, error) {
		made, found, err := v.Backups.Find(ctx, sum)
		if err != nil {
			return noted{}, err
		} else if !found {
			return noted{}, errBackupUnknown
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.ReportVerifiedBackup, Digest: r.Body.Sha256}); err != nil {
			return noted{}, err
		}
		n := seal.BackupNote{Taken: made.Taken, Verified: in.At, OldestVersion: made.Oldest, SHA256: sum}
		return noted{n.Taken, n.Verified, n.OldestVersion}, v.Keys.Ledger().NoteBackup(ctx, n)
	})
	if err != nil {
		return nil, err
	}
	return contract.ReportVerifiedBackup200JSONResponse{Sha256: r.Body.Sha256, TakenAt: done.Taken, VerifiedAt: done.Verified, OldestKeyVersion: done.Oldest}, nil
}
