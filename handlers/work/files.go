package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/edge"
)

// UnclaimedFileLifetime is the time within which a document has to name an uploaded file;
// then the file is removed.
const UnclaimedFileLifetime = 24 * time.Hour

// discardTimeout bounds one call of [Worker.DiscardUpload]; a file that it could not remove
// is removed by [Worker.tidyFiles] a day later.
const discardTimeout = 5 * time.Second

// DiscardUpload removes a file whose upload failed, also after ctx was cancelled. A failure
// is logged, and the file is removed later.
func (work *Worker) DiscardUpload(ctx context.Context, id domain.AttachmentID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	err := work.Keys.Files().Doom(ctx, id)
	if err == nil {
		err = work.removeFile(ctx, id)
	}
	if err != nil {
		work.Slog.WarnContext(ctx, "a file that nobody wants is removed later", slog.Any("error", err))
	}
}

// removeFile removes the bytes of a doomed file, and then its row in the key ring.
func (work *Worker) removeFile(ctx context.Context, id domain.AttachmentID) error {
	if err := work.Blobs.Delete(ctx, id.UUID); err != nil {
		return fmt.Errorf("remove a file: %w", err)
	}
	if err := work.Keys.Files().Forget(ctx, id); err != nil {
		return err
	}
	work.Free(&acting.Uploads, id.UUID)
	return nil
}

// ClaimFiles destroys the other copy of the keys of files that a document names, whose
// event is durable, and gives back the room that they took before.
func (work *Worker) ClaimFiles(ctx context.Context, document eventstore.Stream, files []domain.AttachmentID) error {
	if err := work.Keys.Files().Claim(ctx, document, files); err != nil {
		return err
	}
	for _, id := range files {
		work.Free(&acting.Uploads, id.UUID)
	}
	return nil
}

const (
	// fileBatch is the most files that one query of the key ring returns.
	fileBatch = 100
	// reservationTimeout is the age at which a reservation belongs to no running request any
	// more.
	reservationTimeout = 2 * edge.MaxTime
)

// tidyFiles settles the files that requests and processes left when they ended early:
// reservations become claims where the log has the event; files that no document names in
// time, and files of erased documents, are removed.
func (work *Worker) tidyFiles(ctx context.Context) error {
	return errors.Join(work.settleReservations(ctx), work.Keys.Files().DoomStale(ctx, work.Now().Add(-UnclaimedFileLifetime)), work.removeDoomed(ctx))
}

func (work *Worker) settleReservations(ctx context.Context) error {
	before := work.Now().Add(-reservationTimeout)
	for {
		held, err := work.Keys.Files().Reserved(ctx, before, fileBatch)
		if err != nil || len(held) == 0 {
			return err
		}
		for _, f := range held {
			state, _, err := acting.Documents.Load(ctx, work.Log, f.Stream)
			if err != nil {
				return err
			}
			if state.Names(f.ID) {
				err = work.ClaimFiles(ctx, f.Stream, []domain.AttachmentID{f.ID})
			} else {
				err = work.Keys.Files().Release(ctx, f, before)
			}
			if err != nil {
				return err
			}
		}
	}
}

// removeDoomed removes the files that nothing needs, counts them, and tells the operator of
// those of one sweep.
func (work *Worker) removeDoomed(ctx context.Context) error {
	removed := 0
	defer func() {
		if removed > 0 {
			work.Slog.InfoContext(ctx, "files that no document named in time, or whose document was erased, are removed", slog.Int("files", removed))
		}
	}()
	for {
		doomed, err := work.Keys.Files().Doomed(ctx, fileBatch)
		if err != nil || len(doomed) == 0 {
			return err
		}
		for _, id := range doomed {
			if err := work.removeFile(ctx, id); err != nil {
				return err
			}
			removed++
			work.removedFiles.Add(1)
		}
	}
}

// RemovedFiles returns how many files the sweeps of this process have removed.
func (work *Worker) RemovedFiles() int64 { return work.removedFiles.Load() }
