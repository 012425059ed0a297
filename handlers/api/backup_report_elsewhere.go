package api

import (
	"context"
	"log/slog"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/backup"
	"coffre/eventstore/seal"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var errBackupsHere = domain.NewError(domain.Conflict, "backupsTakenHere", "this vault takes its backups itself, and knows which are good: coffre backup, then coffre backup verify")

// ReportBackupElsewhere implements POST /backups/reportElsewhere: an operator answers for a
// backup that other tools took. The key ring tells which key version that backup needs.
func (v *Vault) ReportBackupElsewhere(ctx context.Context, r contract.ReportBackupElsewhereRequestObject) (contract.ReportBackupElsewhereResponseObject, error) {
	if v.Backups != nil && !v.OwnTools {
		return nil, errBackupsHere
	}
	var sum backup.Sum
	if err := sum.UnmarshalText([]byte(r.Body.Sha256)); err != nil || sum == (backup.Sum{}) {
		return nil, edge.BadInput("/sha256", "digest", "the SHA-256 of the backup or of its manifest, in hexadecimal digits")
	}
	type noted struct {
		Taken, Verified time.Time
		Oldest          int
	}
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (noted, error) {
		taken := r.Body.TakenAt.UTC().Truncate(time.Microsecond)
		if taken.After(in.At) || taken.UnixMicro() <= 0 {
			return noted{}, edge.BadInput("/takenAt", "takenAt", "a moment in the past, from 1970")
		}
		if err := v.recordAct(ctx, in, audit.Operate{Act: audit.ReportBackupElsewhere, Digest: r.Body.Sha256}); err != nil {
			return noted{}, err
		}
		n, err := v.Keys.Ledger().NoteBackupElsewhere(ctx, seal.BackupNote{Taken: taken, Verified: in.At, SHA256: sum})
		if err != nil {
			return noted{}, err
		}
		v.Slog.InfoContext(ctx, "a backup made elsewhere was reported as good", slog.Time("taken", n.Taken), slog.Int("oldestKeyVersion", n.OldestVersion),
			slog.String("sha256", r.Body.Sha256), slog.String("subject", v.AuditName(in.Call.Caller)))
		return noted{n.Taken, n.Verified, n.OldestVersion}, nil
	})
	if err != nil {
		return nil, err
	}
	return contract.ReportBackupElsewhere200JSONResponse{Sha256: r.Body.Sha256, TakenAt: done.Taken, VerifiedAt: done.Verified, OldestKeyVersion: done.Oldest}, nil
}
