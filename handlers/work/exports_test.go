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
	"testing/synctest"
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
	return e.Make(ctx, m, func(_ context.Context, w io.Writer) error {
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

// manifests is how many files the manifests of n exports are.
func manifests(e Exports, n int) int {
	if _, files := e.(*ExportFolder); files {
		return n
	}
	return 0
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
		err = e.Make(ctx, later, func(context.Context, io.Writer) error { return nil }, func(error) (ExportManifest, error) { return ExportManifest{}, away })
		if !errors.Is(err, away) {
			t.Errorf("%v, want what end returned", err)
		}
		if err := makeExport(ctx, e, later, "later", nil); err != nil || opened(t, e, later) != "later" {
			t.Errorf("after a failed end: %v", err)
		}
		// What is cancelled, before it is made or meanwhile, stays so; what ended otherwise does too.
		cancelled := func(m ExportManifest) ExportManifest {
			m.State = contract.TaskStateCancelled
			return m
		}
		if now, err := e.Cancel(ctx, cancelled(done)); err != nil || now.State != contract.TaskStateDone || opened(t, e, done) != large {
			t.Errorf("cancelled when it was done: %+v %v", now, err)
		}
		if _, err := e.Cancel(ctx, cancelled(newExport(at))); !errors.Is(err, edge.ErrNoResource) {
			t.Errorf("cancelled where there is none: %v", err)
		}
		before, kept := newExport(at.Add(4*time.Second)), left()
		meanwhile := newExport(at.Add(5 * time.Second))
		if err := errors.Join(e.Add(ctx, before), e.Add(ctx, meanwhile)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if now, err := e.Cancel(ctx, cancelled(before)); err != nil || now.State != contract.TaskStateCancelled {
				t.Errorf("cancelled before it was made: %+v %v", now, err)
			}
		}
		err = e.Make(ctx, meanwhile, func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "half of it")
			now, cancelling := e.Cancel(ctx, cancelled(meanwhile))
			if now.State != contract.TaskStateCancelled {
				t.Errorf("cancelled meanwhile: %+v", now)
			}
			return errors.Join(err, cancelling)
		}, func(err error) (ExportManifest, error) {
			m := meanwhile
			m.State = contract.TaskStateDone
			return m, err
		})
		if err := errors.Join(err, makeExport(ctx, e, before, "made all the same", nil), makeExport(ctx, e, meanwhile, "made again", nil)); err != nil {
			t.Fatal(err)
		}
		for _, m := range []ExportManifest{before, meanwhile} {
			if now, err := e.Find(ctx, m.Export); err != nil || now.State != contract.TaskStateCancelled {
				t.Errorf("after it was made: %+v %v", now, err)
			}
		}
		if rest, err := e.Unfinished(ctx); err != nil || len(rest) != 0 {
			t.Errorf("unfinished: %v %v", rest, err)
		}
		if extra := left() - kept - manifests(e, 2); extra != 0 {
			t.Errorf("%d files are left of what was cancelled", extra)
		}
		for _, m := range append(all, before, meanwhile) {
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
		run(t, NewExportFolder(dir), func() int { return filesIn(t, dir) })
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
		err := gone.Make(ctx, m, func(_ context.Context, w io.Writer) error {
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

// An export that another process cancels stops within a word of the process that makes it, and
// leaves nothing.
func TestExportCancelledByAnotherProcessStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := ringtest.OpenDB(t, t.TempDir())
		s := newSharing(t, func() *keysdb.DB { return db })
		here, there := s.process(t), s.process(t)
		m := newExport(s.time.now())
		if err := here.Add(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		err := here.Make(t.Context(), m, func(ctx context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "half of it")
			ended := m
			ended.State = contract.TaskStateCancelled
			_, cancelling := there.Cancel(t.Context(), ended)
			select {
			case <-ctx.Done():
			case <-time.After(exports.VouchEvery + time.Millisecond):
				t.Error("it goes on")
			}
			return errors.Join(err, cancelling, ctx.Err())
		}, func(error) (ExportManifest, error) {
			t.Error("it was ended once more")
			return m, nil
		})
		if err != nil || filesIn(t, s.stored) != 0 || filesIn(t, here.scratch) != 0 {
			t.Errorf("%v, %d files are stored, %d in the scratch folder", err, filesIn(t, s.stored), filesIn(t, here.scratch))
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
