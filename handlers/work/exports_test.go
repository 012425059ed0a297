package work

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/blob"
	"coffre/eventstore/blob/folder"
	"coffre/eventstore/exports"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// exportTime is the clock of the processes of a test.
type exportTime struct{ at atomic.Int64 }

func (c *exportTime) now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *exportTime) pass(d time.Duration) { c.at.Add(d.Microseconds()) }

// sharing are the processes of one vault that share what keeps exports.
type sharing struct {
	time   exportTime
	open   func() *keysdb.DB
	mac    func(...[]byte) [32]byte
	blobs  blob.Store
	stored string // where blobs lie
}

func newSharing(t *testing.T, open func() *keysdb.DB) *sharing {
	t.Helper()
	s := &sharing{open: open, mac: ringtest.New(t).DeploymentKey(seal.RequestKey).MAC, stored: t.TempDir()}
	s.time.at.Store(time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC).UnixMicro())
	var err error
	if s.blobs, err = folder.Open(s.stored); err != nil {
		t.Fatal(err)
	}
	return s
}

// process returns the exports as one more process opens them.
func (s *sharing) process(t *testing.T) SharedExports {
	t.Helper()
	table, err := exports.Open(t.Context(), s.open(), func(time.Time) func(...[]byte) [32]byte { return s.mac }, uuid.New(), s.time.now)
	if err != nil {
		t.Fatal(err)
	}
	all, err := NewSharedExports(table, s.blobs, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// onEachSharing runs a test on a file and on a PostgreSQL.
func onEachSharing(t *testing.T, test func(t *testing.T, s *sharing)) {
	t.Run("SQLite", func(t *testing.T) {
		db := ringtest.OpenDB(t, t.TempDir())
		test(t, newSharing(t, func() *keysdb.DB { return db }))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := pgtest.Shared(t).Database(t)
		test(t, newSharing(t, func() *keysdb.DB { return ringtest.OpenPostgres(t, dsn) }))
	})
}

func newExport(at time.Time) ExportManifest {
	return ExportManifest{
		Export: uuid.New(), Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatCsv,
		State: contract.TaskStateProcessing, Created: at,
	}
}

// makeExport makes an export with a content, or fails it with an error.
func makeExport(ctx context.Context, e Exports, m ExportManifest, content string, wrong error) error {
	return e.Make(ctx, m, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return errors.Join(err, wrong)
	}, func(err error) (ExportManifest, error) {
		m.State = contract.TaskStateDone
		if err != nil {
			m.State = contract.TaskStateFailed
		}
		return m, nil
	})
}

func opened(t *testing.T, e Exports, m ExportManifest) string {
	t.Helper()
	content, size, err := e.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(content)
	for from := int64(0); from <= size && err == nil; from += max(size/3, 1) { // where a download goes on
		var rest []byte
		if _, err = content.Seek(from, io.SeekStart); err == nil {
			rest, err = io.ReadAll(content)
		}
		if err == nil && string(rest) != string(b[from:]) {
			t.Fatalf("from byte %d on it holds %d bytes", from, len(rest))
		}
	}
	if err = errors.Join(err, content.Close()); err != nil || int64(len(b)) != size {
		t.Fatalf("%d bytes of %d: %v", len(b), size, err)
	}
	return string(b)
}

// filesIn counts the files under a folder.
func filesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestExportsAreKept is the contract of the port, run by each that keeps exports.
func TestExportsAreKept(t *testing.T) {
	run := func(t *testing.T, e Exports, left func() int) {
		ctx := t.Context()
		at := time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC)
		if all, err := e.All(ctx); err != nil || len(all) != 0 {
			t.Fatalf("at first: %v %v", all, err)
		}
		if _, err := e.Find(ctx, uuid.New()); !errors.Is(err, edge.ErrNoResource) {
			t.Fatalf("one that is none: %v", err)
		}
		later, done, empty, failed := newExport(at.Add(time.Second)), newExport(at), newExport(at.Add(2*time.Second)), newExport(at.Add(3*time.Second))
		for _, m := range []ExportManifest{later, done, empty, failed} {
			if err := errors.Join(e.Add(ctx, m), e.Add(ctx, m)); err != nil {
				t.Fatal(err)
			}
		}
		large := strings.Repeat("a line of an export\r\n", 20_000)
		if err := errors.Join(makeExport(ctx, e, done, large, nil), makeExport(ctx, e, empty, "", nil), makeExport(ctx, e, failed, "half", errors.New("broken"))); err != nil {
			t.Fatal(err)
		}
		if got := opened(t, e, done); got != large {
			t.Errorf("%d bytes come out of %d", len(got), len(large))
		}
		if got := opened(t, e, empty); got != "" {
			t.Errorf("%q comes out of an empty one", got)
		}
		all, err := e.All(ctx)
		if err != nil || len(all) != 4 || all[0].Export != done.Export || all[1].Export != later.Export || all[2].Export != empty.Export || all[3].Export != failed.Export {
			t.Fatalf("%v %v", all, err)
		}
		for i, want := range []contract.TaskState{contract.TaskStateDone, contract.TaskStateProcessing, contract.TaskStateDone, contract.TaskStateFailed} {
			if m, err := e.Find(ctx, all[i].Export); err != nil || m.State != want || m.Created != all[i].Created {
				t.Errorf("%d: %+v %v, want it %s", i, m, err, want)
			}
		}
		if rest, err := e.Unfinished(ctx); err != nil || len(rest) != 1 || rest[0].Export != later.Export {
			t.Errorf("unfinished: %v %v", rest, err)
		}
		// What has ended stays as it is, and what could not end is made again.
		if err := makeExport(ctx, e, done, "other", nil); err != nil || opened(t, e, done) != large {
			t.Errorf("made again: %v", err)
		}
		away := errors.New("away")
		err = e.Make(ctx, later, func(io.Writer) error { return nil }, func(error) (ExportManifest, error) { return ExportManifest{}, away })
		if !errors.Is(err, away) {
			t.Errorf("%v, want what end returned", err)
		}
		if err := makeExport(ctx, e, later, "later", nil); err != nil || opened(t, e, later) != "later" {
			t.Errorf("after a failed end: %v", err)
		}
		for _, m := range all {
			if err := errors.Join(e.Remove(ctx, m), e.Remove(ctx, m)); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Find(ctx, m.Export); !errors.Is(err, edge.ErrNoResource) {
				t.Errorf("removed: %v", err)
			}
			if err := makeExport(ctx, e, m, "removed", nil); err != nil {
				t.Errorf("make what was removed: %v", err)
			}
		}
		if n := left(); n != 0 {
			t.Errorf("%d files are left", n)
		}
	}
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		run(t, ExportFolder(dir), func() int { return filesIn(t, dir) })
	})
	onEachSharing(t, func(t *testing.T, s *sharing) {
		e := s.process(t)
		run(t, e, func() int { return filesIn(t, s.stored) + filesIn(t, e.scratch) })
	})
}

// An export that one process made is found and served by every other one, and lies sealed.
func TestExportIsServedByEveryProcess(t *testing.T) {
	onEachSharing(t, func(t *testing.T, s *sharing) {
		here, there := s.process(t), s.process(t)
		m := newExport(s.time.now())
		if err := here.Add(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if found, err := there.Find(t.Context(), m.Export); err != nil || found.State != contract.TaskStateProcessing {
			t.Fatalf("before it is made: %+v %v", found, err)
		}
		if err := makeExport(t.Context(), here, m, "the railways' lines", nil); err != nil {
			t.Fatal(err)
		}
		if got := opened(t, there, m); got != "the railways' lines" {
			t.Errorf("%q", got)
		}
		err := s.blobs.Walk(t.Context(), func(i blob.Info) error {
			sealed, err := s.blobs.Open(t.Context(), i.Name, 0)
			if err != nil {
				return err
			}
			b, err := io.ReadAll(sealed)
			if bytes.Contains(b, []byte("railways")) {
				t.Error("it lies open")
			}
			return errors.Join(err, sealed.Close())
		})
		if err != nil || filesIn(t, s.stored) != 1 || filesIn(t, here.scratch) != 0 {
			t.Errorf("%v, %d stored, %d in the scratch folder", err, filesIn(t, s.stored), filesIn(t, here.scratch))
		}
	})
}

// Where the file cannot be reached an export is not told as one that never was.
func TestExportOfAnotherProcessThatIsOutOfReach(t *testing.T) {
	onEachSharing(t, func(t *testing.T, s *sharing) {
		here := s.process(t)
		s.blobs, _ = folder.Open(t.TempDir()) // each process has its own
		there := s.process(t)
		m := newExport(s.time.now())
		if err := errors.Join(here.Add(t.Context(), m), makeExport(t.Context(), here, m, "lines", nil)); err != nil {
			t.Fatal(err)
		}
		_, _, err := there.Open(t.Context(), m)
		var refused *domain.Error
		if !errors.As(err, &refused) || refused.Code != domain.Unavailable || refused.Slug != "exportElsewhere" {
			t.Errorf("%v", err)
		}
	})
}

// An export of a process that is gone is made by another one; if it was not gone after all,
// one content counts, and nothing is left of the other.
func TestExportOfAProcessThatIsGone(t *testing.T) {
	onEachSharing(t, func(t *testing.T, s *sharing) {
		ctx := t.Context()
		gone, other := s.process(t), s.process(t)
		m := newExport(s.time.now())
		if err := gone.Add(ctx, m); err != nil {
			t.Fatal(err)
		}
		mine := func(e Exports) bool {
			t.Helper()
			all, err := e.Unfinished(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(all, func(u ExportManifest) bool { return u.Export == m.Export })
		}
		if !mine(gone) || mine(other) {
			t.Error("it is somebody else's to make at once")
		}
		s.time.pass(exports.Silence + time.Second)
		if !mine(other) {
			t.Error("nobody steps in")
		}
		err := gone.Make(ctx, m, func(w io.Writer) error {
			_, err := io.WriteString(w, "slow")
			return errors.Join(err, makeExport(ctx, other, m, "stepped in", nil))
		}, func(err error) (ExportManifest, error) { return m, err })
		if err != nil {
			t.Fatal(err)
		}
		if mine(gone) || mine(other) || filesIn(t, s.stored) != 1 {
			t.Errorf("%d files are stored", filesIn(t, s.stored))
		}
		if got := opened(t, gone, m); got != "stepped in" {
			t.Errorf("%q", got)
		}
	})
}

// What a process that ended in mid-work left in its folder is gone after its next start.
func TestScratchOfExportsIsEmptied(t *testing.T) {
	s := newSharing(t, func() *keysdb.DB { return ringtest.OpenDB(t, t.TempDir()) })
	e := s.process(t)
	if err := os.WriteFile(filepath.Join(e.scratch, "export-1.part"), []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewSharedExports(e.table, e.blobs, e.scratch); err != nil || filesIn(t, e.scratch) != 0 {
		t.Errorf("%d files, %v", filesIn(t, e.scratch), err)
	}
}
