package work

import (
	"context"
	"io"

	"github.com/google/uuid"
)

// Exports keeps exports: what was asked for, how it goes, and the content. All methods may be
// called concurrently.
type Exports interface {
	// Add keeps a new export, durably. One of that id that is there stays as it is.
	Add(ctx context.Context, m ExportManifest) error

	// Find returns the manifest of an export, or edge.ErrNoResource.
	Find(ctx context.Context, id uuid.UUID) (ExportManifest, error)

	// All returns the manifests of all exports, in the order in which they were asked for.
	All(ctx context.Context) ([]ExportManifest, error)

	// Unfinished returns those that are processing and that this process is to make.
	Unfinished(ctx context.Context) ([]ExportManifest, error)

	// Make stores what write writes, and then ends the export durably with the manifest that
	// end returns, which is told of write's error. An error of end or of the medium is
	// returned, and nothing has ended; Make may be called again. Of several that make one
	// export the last to begin ends it; the others return nil and leave nothing. One that has
	// ended or was removed is not made, and one that ends meanwhile stays as it is. The context
	// of write ends with ctx, and soon after the export has ended otherwise.
	Make(ctx context.Context, m ExportManifest, write func(context.Context, io.Writer) error, end func(error) (ExportManifest, error)) error

	// Cancel ends an export that is processing durably with a manifest, so that no process makes
	// it any more, and removes what is stored of a cancelled one. It returns the manifest that
	// stands: another one where the export had ended before. Called again it removes what a
	// crash left. It returns edge.ErrNoResource for an export that does not exist.
	Cancel(ctx context.Context, cancelled ExportManifest) (ExportManifest, error)

	// Open returns the content of an export that is done and its size in bytes. The caller
	// closes it. It returns edge.ErrNoResource when nothing is there, and a refusal of
	// domain.Unavailable when another process has it.
	Open(ctx context.Context, m ExportManifest) (io.ReadSeekCloser, int64, error)

	// Remove removes an export with all that was stored of it.
	Remove(ctx context.Context, m ExportManifest) error
}
