package work

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/blob"
	"coffre/eventstore/exports"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// SharedExports keeps exports for several processes: manifests in the key database, which they
// share, and the contents, sealed, where files of documents lie. A process that ended is
// stepped in for by another.
type SharedExports struct {
	table   *exports.Table
	blobs   blob.Store
	scratch string // folder for a content that is being made
}

// NewSharedExports returns the exports of a table. It empties scratch, a folder of this
// process, readable by its owner only, of what an end in mid-work left.
func NewSharedExports(table *exports.Table, blobs blob.Store, scratch string) (SharedExports, error) {
	left, err := os.ReadDir(scratch)
	for _, file := range left {
		err = errors.Join(err, os.Remove(filepath.Join(scratch, file.Name())))
	}
	if err != nil {
		return SharedExports{}, fmt.Errorf("empty the folder of exports: %w", err)
	}
	return SharedExports{table, blobs, scratch}, nil
}

var errExportElsewhere = domain.NewError(domain.Unavailable, "exportElsewhere", "another process of the vault has the file, and this one cannot reach it; ask again, or ask for a new export")

// Add implements Exports.
func (s SharedExports) Add(ctx context.Context, m ExportManifest) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep an export's manifest: %w", err)
	}
	return s.table.Add(ctx, m.Export, m.Created, b)
}

// Find implements Exports.
func (s SharedExports) Find(ctx context.Context, id uuid.UUID) (ExportManifest, error) {
	e, err := s.find(ctx, id)
	if err != nil {
		return ExportManifest{}, err
	}
	return manifestOf(e)
}

func (s SharedExports) find(ctx context.Context, id uuid.UUID) (exports.Export, error) {
	e, err := s.table.Find(ctx, id)
	if errors.Is(err, exports.ErrNone) {
		err = edge.ErrNoResource
	}
	return e, err
}

func manifestOf(e exports.Export) (m ExportManifest, err error) {
	if json.Unmarshal(e.Manifest, &m) != nil || m.Export != e.ID {
		return ExportManifest{}, errUnreadableManifest
	}
	return m, nil
}

// All implements Exports.
func (s SharedExports) All(ctx context.Context) ([]ExportManifest, error) {
	return s.those(ctx, func(exports.Export) bool { return true })
}

// Unfinished implements Exports.
func (s SharedExports) Unfinished(ctx context.Context) ([]ExportManifest, error) {
	return s.those(ctx, func(e exports.Export) bool { return e.Mine })
}

func (s SharedExports) those(ctx context.Context, are func(exports.Export) bool) (all []ExportManifest, err error) {
	rows, err := s.table.All(ctx)
	for _, e := range rows {
		if !are(e) {
			continue
		}
		m, err := manifestOf(e)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, err
}

// Make implements Exports.
func (s SharedExports) Make(ctx context.Context, m ExportManifest, write func(context.Context, io.Writer) error, end func(error) (ExportManifest, error)) (err error) {
	c, ok, err := s.table.Begin(ctx, m.Export)
	if err != nil || !ok {
		return err
	}
	vouching, stop := context.WithCancelCause(ctx)
	done := make(chan struct{})
	claimed := c // which is not changed below
	go func() {
		defer close(done)
		if s.table.Vouch(vouching, m.Export, claimed) {
			stop(errOvertaken)
		}
	}()
	defer func() { stop(nil); <-done }()

	kept := false
	defer func() {
		switch {
		case errors.Is(context.Cause(ctx), errCancelled): // and so no end was one
			err = errors.Join(err, s.discard(ctx, c))
		case !kept: // what ctx's end leaves is removed with the export
			err = errors.Join(err, s.blobs.Delete(ctx, c.Name))
		}
	}()
	file, err := os.CreateTemp(s.scratch, "export-*.part")
	if err != nil {
		return fmt.Errorf("make an export: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	buffered := bufio.NewWriterSize(file, 1<<16)
	wrong := write(vouching, buffered)
	if wrong == nil {
		wrong = buffered.Flush()
	}
	if wrong == nil {
		c.Size, err = s.put(vouching, c, file)
	}
	if errors.Is(context.Cause(vouching), errOvertaken) {
		return nil
	}
	if err != nil {
		return err
	}
	ended, err := end(wrong)
	if err != nil {
		return err
	}
	b, err := json.Marshal(ended)
	if err != nil {
		return fmt.Errorf("keep an export's manifest: %w", err)
	}
	won, err := s.table.End(ctx, m.Export, c, b)
	kept = wrong == nil && (won || err != nil) // an end of unknown outcome may have been one
	return err
}

// errOvertaken stops an attempt whose export ended, or is made by another one.
var errOvertaken = errors.New("another attempt at the export began, or it has ended")

// Cancel implements Exports.
func (s SharedExports) Cancel(ctx context.Context, cancelled ExportManifest) (ExportManifest, error) {
	b, err := json.Marshal(cancelled)
	if err != nil {
		return ExportManifest{}, fmt.Errorf("keep an export's manifest: %w", err)
	}
	if err := s.table.Cancel(ctx, cancelled.Export, b); err != nil {
		return ExportManifest{}, err
	}
	e, err := s.find(ctx, cancelled.Export)
	if err != nil {
		return ExportManifest{}, err
	}
	now, err := manifestOf(e)
	if err != nil || now.State != contract.TaskStateCancelled {
		return now, err
	}
	return now, s.removeContents(ctx, e)
}

// discard removes what an attempt stored, although ctx has ended.
func (s SharedExports) discard(ctx context.Context, c exports.Content) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer stop()
	return s.blobs.Delete(ctx, c.Name)
}

// removeContents removes what attempts at an export stored.
func (s SharedExports) removeContents(ctx context.Context, e exports.Export) error {
	for _, name := range e.Names() {
		if err := s.blobs.Delete(ctx, name); err != nil {
			return fmt.Errorf("remove an export: %w", err)
		}
	}
	return nil
}

// put stores a file sealed, whole and durably.
func (s SharedExports) put(ctx context.Context, c exports.Content, file *os.File) (size int64, err error) {
	if size, err = file.Seek(0, io.SeekEnd); err == nil && size > 0 {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil || size == 0 { // nothing can be sealed of nothing
		return 0, err
	}
	sealed, err := seal.SealFile(c.Key[:], file)
	if err == nil {
		err = s.blobs.Put(ctx, c.Name, sealed, seal.SealedFileSize(size))
	}
	if err != nil {
		return 0, fmt.Errorf("store an export: %w", err)
	}
	return size, nil
}

// noContent is the content of an export without one byte, which cannot be sealed.
type noContent struct{ *strings.Reader }

func (noContent) Close() error { return nil }

// Open implements Exports.
func (s SharedExports) Open(ctx context.Context, m ExportManifest) (io.ReadSeekCloser, int64, error) {
	e, err := s.find(ctx, m.Export)
	if err != nil {
		return nil, 0, err
	}
	if e.Content.Size == 0 {
		return noContent{strings.NewReader("")}, 0, nil
	}
	content, err := disclosure.OpenExportContent(ctx, s.blobs, e.Content.Name, e.Content.Key[:], e.Content.Size)
	if errors.Is(err, blob.ErrNotFound) {
		err = errExportElsewhere
	}
	return content, e.Content.Size, err
}

// Remove implements Exports.
func (s SharedExports) Remove(ctx context.Context, m ExportManifest) error {
	e, err := s.table.Find(ctx, m.Export)
	if errors.Is(err, exports.ErrNone) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.removeContents(ctx, e); err != nil {
		return err
	}
	return s.table.Remove(ctx, m.Export)
}
