package work

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/consentlog"
)

// ExportFolder keeps exports in a folder of the only process of a vault. An export is two
// files, named by its id alone: a manifest and, once it is complete, the content. Both hold
// ids, codes and times only, and are readable by their owner only. An export whose manifest
// says "processing" at a start was cut off by a crash and is made again. Make it with
// [NewExportFolder].
type ExportFolder struct {
	Dir string
	mu  sync.Mutex // held while an export ends: its manifest is read and replaced
}

// NewExportFolder returns the exports in a folder that is there.
func NewExportFolder(dir string) *ExportFolder { return &ExportFolder{Dir: dir} }

const manifestSuffix = ".manifest"

func (f *ExportFolder) manifest(id uuid.UUID) string {
	return filepath.Join(f.Dir, id.String()+manifestSuffix)
}

func (f *ExportFolder) content(m ExportManifest) string {
	return filepath.Join(f.Dir, m.Export.String()+"."+string(m.Format))
}

// Add implements Exports.
func (f *ExportFolder) Add(_ context.Context, m ExportManifest) error {
	if _, err := os.Stat(f.manifest(m.Export)); err == nil {
		return nil
	}
	return f.save(m)
}

// save stores a manifest durably in place of the one before.
func (f *ExportFolder) save(m ExportManifest) error {
	b, err := json.Marshal(m)
	if err == nil {
		err = writeAtomically(f.manifest(m.Export), func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("keep an export's manifest: %w", err)
	}
	return nil
}

// Find implements Exports.
func (f *ExportFolder) Find(_ context.Context, id uuid.UUID) (ExportManifest, error) {
	m, err := readManifest(f.manifest(id))
	if errors.Is(err, fs.ErrNotExist) {
		return ExportManifest{}, edge.ErrNoResource
	}
	return m, err
}

func readManifest(path string) (ExportManifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return ExportManifest{}, fmt.Errorf("read an export's manifest: %w", err)
	}
	var m ExportManifest
	var former formerManifest
	if json.Unmarshal(b, &m) != nil || json.Unmarshal(b, &former) != nil {
		return ExportManifest{}, errUnreadableManifest
	}
	if f := former.Filter; f != nil {
		m.Filter = f.narrowed()
	}
	return m, nil
}

var errUnreadableManifest = errors.New("read an export's manifest: not readable")

// formerManifest is the part of a manifest that was written otherwise once: a filter whose
// zero times stood for no bound. Such exports may be waiting when a newer vault starts.
type formerManifest struct {
	Filter *formerFilter `json:"filter"`
}

type formerFilter struct {
	Consumer    domain.Organisation
	Purpose     domain.Purpose
	From, Until time.Time
}

func (f formerFilter) narrowed() consentlog.Filter {
	out := consentlog.Filter{Consumer: f.Consumer, Purpose: f.Purpose}
	if (f.From != time.Time{}) {
		out.From = &f.From
	}
	if (f.Until != time.Time{}) {
		out.Until = &f.Until
	}
	return out
}

// All implements Exports.
func (f *ExportFolder) All(context.Context) ([]ExportManifest, error) {
	entries, err := os.ReadDir(f.Dir) // and no pattern, in which the folder's name would count
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	var all []ExportManifest
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), manifestSuffix) {
			continue
		}
		m, err := readManifest(filepath.Join(f.Dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b ExportManifest) int {
		return cmp.Or(a.Created.Compare(b.Created), bytes.Compare(a.Export[:], b.Export[:]))
	})
	return all, nil
}

// Unfinished implements Exports.
func (f *ExportFolder) Unfinished(ctx context.Context) ([]ExportManifest, error) {
	all, err := f.All(ctx)
	return slices.DeleteFunc(all, func(m ExportManifest) bool { return m.State != contract.TaskStateProcessing }), err
}

// Make implements Exports.
func (f *ExportFolder) Make(ctx context.Context, m ExportManifest, write func(context.Context, io.Writer) error, end func(error) (ExportManifest, error)) error {
	if _, going, err := f.going(m.Export); err != nil || !going {
		return err
	}
	wrong := writeAtomically(f.content(m), func(w io.Writer) error { return write(ctx, w) })
	f.mu.Lock()
	defer f.mu.Unlock()
	now, going, err := f.going(m.Export)
	switch {
	case err != nil:
		return err
	case !going && now.State != contract.TaskStateDone: // cancelled, or removed
		return f.removeContent(m)
	case !going:
		return nil
	}
	ended, err := end(wrong)
	if err != nil {
		return err
	}
	return f.save(ended)
}

// going returns the manifest of an export, and whether the export is processing; none, and
// false, when there is no such export.
func (f *ExportFolder) going(id uuid.UUID) (m ExportManifest, going bool, err error) {
	m, err = readManifest(f.manifest(id))
	if errors.Is(err, fs.ErrNotExist) {
		return ExportManifest{}, false, nil
	}
	return m, err == nil && m.State == contract.TaskStateProcessing, err
}

// Cancel implements Exports.
func (f *ExportFolder) Cancel(ctx context.Context, cancelled ExportManifest) (ExportManifest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := f.Find(ctx, cancelled.Export)
	if err != nil {
		return ExportManifest{}, err
	}
	if now.State == contract.TaskStateProcessing {
		if err := f.save(cancelled); err != nil {
			return ExportManifest{}, err
		}
		now = cancelled
	}
	if now.State == contract.TaskStateCancelled {
		err = f.removeContent(now)
	}
	return now, err
}

// Open implements Exports.
func (f *ExportFolder) Open(_ context.Context, m ExportManifest) (io.ReadSeekCloser, int64, error) {
	file, err := os.Open(f.content(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, edge.ErrNoResource
	} else if err != nil {
		return nil, 0, fmt.Errorf("open an export: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open an export: %w", err), file.Close())
	}
	return file, info.Size(), nil
}

// Remove implements Exports.
func (f *ExportFolder) Remove(_ context.Context, m ExportManifest) error {
	if err := f.removeContent(m); err != nil {
		return err
	}
	return removeExportFile(f.manifest(m.Export))
}

// removeContent removes what was stored of an export, whole or in part.
func (f *ExportFolder) removeContent(m ExportManifest) error {
	return errors.Join(removeExportFile(f.content(m)), removeExportFile(partPath(f.content(m))))
}

// removeExportFile removes a file that may be there.
func removeExportFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an export: %w", err)
	}
	return nil
}

// partPath returns the path of the unfinished file, beside the one it becomes.
func partPath(path string) string { return path + ".part" }

// writeAtomically creates a file from the bytes that write gives: complete and durable, or
// not at all.
func writeAtomically(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(partPath(path), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<16)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(partPath(path)))
	}
	if err := os.Rename(partPath(path), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
