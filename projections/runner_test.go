package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/projections"
	"coffre/projections/projectiontest"
)

// tally is the smallest read model: it lists the leaves it was shown.
type tally struct {
	name       string
	version    int
	categories []string
	// before is called for each event, inside the transaction.
	before func(tx *projections.Tx, leaf int64) error
	view   projections.View
}

func (p *tally) Name() string            { return p.name }
func (p *tally) Version() int            { return max(p.version, 1) }
func (p *tally) View() *projections.View { return &p.view }
func (p *tally) Categories() []string    { return p.categories }
func (p *tally) Schema() projections.Schema {
	return projections.Schema{
		Tables:  `CREATE TABLE seen (leaf BIGINT PRIMARY KEY, stream TEXT NOT NULL, version BIGINT NOT NULL);`,
		Indexes: `CREATE INDEX seen_stream ON seen (stream);`,
	}
}

func (p *tally) Apply(ctx context.Context, tx *projections.Tx, e eventstore.Event, leaf int64) error {
	if p.before != nil {
		if err := p.before(tx, leaf); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO seen VALUES (?, ?, ?)`, leaf, string(e.Stream), p.Version())
	return err
}

func (p *tally) leaves(t testing.TB) []int64 {
	t.Helper()
	all := []int64{}
	err := p.view.Select(context.Background(), `SELECT leaf FROM seen ORDER BY leaf`, nil, func(scan func(...any) error) error {
		var leaf int64
		err := scan(&leaf)
		all = append(all, leaf)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func documents(name string) *tally {
	return &tally{name: name, categories: []string{"document", "citizen"}}
}

// history records n documents, and events of another category in between.
func history(t testing.TB, w *projectiontest.World, n int) {
	t.Helper()
	for range n {
		id, who := domain.DocumentID{UUID: uuid.New()}, domain.CitizenID{UUID: uuid.New()}
		w.Record(t, eventstore.Stream("document-"+id.String()), who, document.Suspended{Document: id, Reason: "inquiry"})
		w.Record(t, eventstore.Stream("citizen-"+who.String()), who, citizen.Registered{Citizen: who})
	}
}

func upTo(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i)
	}
	return all
}

func status(t testing.TB, r *projectiontest.Running, name string) projections.Status {
	t.Helper()
	all, err := r.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatal("no status of ", name)
	return projections.Status{}
}

// append records as they are, so that a test may break their rules.
func appendRaw(t testing.TB, s eventstore.Store, stream eventstore.Stream, typ, clear string) eventstore.Position {
	t.Helper()
	at, err := s.Append(t.Context(), eventstore.Batch{Stream: stream, Expected: eventstore.Any, Records: []eventstore.Record{{
		ID: uuid.New(), Type: typ, Clear: []byte(clear), Meta: []byte(`{}`), Time: time.Now().UTC().Truncate(time.Microsecond),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return at.Position
}

func TestPoisonStopsOneProjectionAndSaysWhere(t *testing.T) {
	projectiontest.OnEach(t, poisonStopsOneProjectionAndSaysWhere)
}

func poisonStopsOneProjectionAndSaysWhere(t *testing.T, place func(testing.TB) string) {
	for _, c := range []struct {
		name  string
		cause error
		panic bool
	}{
		{name: "an error", cause: errors.New("no")},
		{name: "a broken constraint", cause: sqlite3.CONSTRAINT},
		{name: "a panic", panic: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := projectiontest.NewWorld()
			history(t, w, 5)
			var healed atomic.Bool
			ill, well := documents("ill"), documents("well")
			ill.before = func(_ *projections.Tx, leaf int64) error {
				if leaf == 13 && !healed.Load() {
					if c.panic {
						panic("at the disco")
					}
					return c.cause
				}
				return nil
			}
			dir := place(t)
			r := projectiontest.Start(t, w, dir, ill, well)
			r.CaughtUp(t)
			history(t, w, 5)
			head, err := w.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.WaitFor(t.Context(), "well", head); err != nil {
				t.Fatal(err)
			}
			var poisoned *projections.Poisoned
			if err := r.WaitFor(t.Context(), "ill", head); !errors.As(err, &poisoned) {
				t.Fatalf("%v, want *Poisoned", err)
			}
			if poisoned.Leaf != 13 || poisoned.Type != "citizen.registered/1" || c.cause != nil && !errors.Is(poisoned, c.cause) {
				t.Fatal(poisoned)
			}
			s := status(t, r, "ill")
			if s.State != projections.PoisonedAt || s.PoisonedLeaf != 13 || s.PoisonedType != "citizen.registered/1" || s.Leaf != 12 || s.Lag != 7 || s.HeadLeaf != 19 {
				t.Fatalf("%+v", s)
			}
			if s := status(t, r, "well"); s.Lag != 0 || s.PoisonedLeaf != -1 {
				t.Fatalf("%+v", s)
			}
			// What came before stays shown, and a rebuild after the cure goes on.
			if got := ill.leaves(t); !slices.Equal(got, upTo(13)) {
				t.Fatal(got)
			}
			if err := r.Rebuild(t.Context(), "ill"); !errors.As(err, &poisoned) {
				t.Fatalf("the rebuild is not poisoned: %v", err)
			}
			if got := ill.leaves(t); !slices.Equal(got, upTo(13)) {
				t.Fatal(got)
			}
			healed.Store(true)
			if err := r.Rebuild(t.Context(), "ill"); err != nil {
				t.Fatal(err)
			}
			history(t, w, 1)
			r.CaughtUp(t)
			if got := ill.leaves(t); !slices.Equal(got, upTo(22)) {
				t.Fatal(got)
			}
		})
	}
}

func TestWhatCannotBeToldPoisonsThoseItConcerns(t *testing.T) {
	projectiontest.OnEach(t, whatCannotBeToldPoisonsThoseItConcerns)
}

func whatCannotBeToldPoisonsThoseItConcerns(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	history(t, w, 2)
	first, second := documents("first"), &tally{name: "second", categories: []string{"consent"}}
	r := projectiontest.Start(t, w, place(t), first, second)
	r.CaughtUp(t)
	appendRaw(t, w, "document-x", "document.issued/99", `{}`)
	head := appendRaw(t, w, "consent-x", "consent.refused/1", `{"consent":"00000000-0000-4000-8000-000000000003","at":"2026-03-01T12:30:15Z"}`)
	if err := r.WaitFor(t.Context(), "second", head); err != nil {
		t.Fatal(err)
	}
	var poisoned *projections.Poisoned
	if err := r.WaitFor(t.Context(), "first", head); !errors.As(err, &poisoned) || poisoned.Leaf != 4 || !errors.Is(err, codec.ErrUnknownType) {
		t.Fatal(err)
	}
	if got := second.leaves(t); !slices.Equal(got, []int64{5}) {
		t.Fatal(got)
	}
}

// damaged yields a *Corrupt in place of one record.
type damaged struct {
	eventstore.Store
	at eventstore.Position
}

func (d damaged) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range d.Store.ReadAll(ctx, after, limit) {
			if err == nil && r.Position == d.at {
				yield(eventstore.Record{}, &eventstore.Corrupt{Stream: r.Stream, Revision: r.Revision, Position: r.Position})
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestDamagedRecordPoisonsThoseItConcerns(t *testing.T) {
	projectiontest.OnEach(t, damagedRecordPoisonsThoseItConcerns)
}

func damagedRecordPoisonsThoseItConcerns(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	history(t, w, 2)
	bad := appendRaw(t, w, "consent-x", "consent.refused/1", `{}`)
	history(t, w, 2)
	first, second := documents("first"), &tally{name: "second", categories: []string{"consent", "document"}}
	r := projectiontest.Start(t, damaged{w, bad}, place(t), first, second)
	head, err := w.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WaitFor(t.Context(), "first", head); err != nil {
		t.Fatal(err)
	}
	if got, want := first.leaves(t), []int64{0, 1, 2, 3, 5, 6, 7, 8}; !slices.Equal(got, want) {
		t.Fatal(got)
	}
	var poisoned *projections.Poisoned
	if err := r.WaitFor(t.Context(), "second", head); !errors.As(err, &poisoned) || poisoned.Leaf != 4 {
		t.Fatal(err)
	}
}

func TestLeavesCountOurCategoriesOnly(t *testing.T) {
	projectiontest.OnEach(t, leavesCountOurCategoriesOnly)
}

func leavesCountOurCategoriesOnly(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	appendRaw(t, w, "$stats-1", "statistics", `not ours`)
	history(t, w, 1)
	appendRaw(t, w, "billing-1", "invoice", `not ours`)
	appendRaw(t, w, "registry", "registry.published/99", `{}`) // ours, and wanted by nobody here
	history(t, w, 1)
	p := documents("tally")
	dir := place(t)
	for range 2 {
		r := projectiontest.Start(t, w, dir, p)
		r.CaughtUp(t)
		if got, want := p.leaves(t), []int64{0, 1, 3, 4}; !slices.Equal(got, want) {
			t.Fatal(got)
		}
		r.Stop()
	}
}

func TestTroubleWithTheMediumPasses(t *testing.T) {
	projectiontest.OnEach(t, troubleWithTheMediumPasses)
}

// full is what each medium says when its disk is.
var full = errors.Join(sqlite3.FULL, &pgconn.PgError{Code: "53100"})

func troubleWithTheMediumPasses(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	p := documents("tally")
	failed := map[int64]bool{}
	p.before = func(_ *projections.Tx, leaf int64) error {
		if leaf%4 == 3 && !failed[leaf] {
			failed[leaf] = true
			return fmt.Errorf("write: %w", full)
		}
		return nil
	}
	history(t, w, 3)
	r := projectiontest.Start(t, w, place(t), p)
	r.CaughtUp(t)
	history(t, w, 4)
	r.CaughtUp(t)
	if got := p.leaves(t); !slices.Equal(got, upTo(14)) || len(failed) != 3 {
		t.Fatal(got, failed)
	}
}

// A projection that a medium refuses again and again counts as failing, with one line in
// the log that holds the cause, and no longer when it moves again.
func TestFailingAgainAndAgainIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := projectiontest.NewWorld(), documents("tally")
		var ill atomic.Bool
		p.before = func(*projections.Tx, int64) error {
			if ill.Load() {
				return fmt.Errorf("write: %w", full)
			}
			return nil
		}
		var logs said
		medium, _ := projectiontest.OpenMedium(t, t.TempDir())
		running, stop := logged(t, medium, w, &logs, p, documents("well"))
		defer stop()
		history(t, w, 1)
		running.CaughtUp(t)
		start := logs.text()
		said := func() string { return strings.TrimPrefix(logs.text(), start) }

		ill.Store(true)
		began := time.Now()
		history(t, w, 1)
		<-time.After(100 * time.Millisecond) // of the bubble's time: a try or two, which is no news
		synctest.Wait()
		if s := status(t, running, "tally"); !s.Running() || s.State == projections.Failing || said() != "" {
			t.Errorf("at the first failure: %+v, %s", s, said())
		}
		<-time.After(10 * time.Minute)
		synctest.Wait()
		s := status(t, running, "tally")
		if s.State != projections.Failing || s.Running() || s.FailingSince.Before(began) || s.FailingSince.Sub(began) > time.Second || s.Lag == 0 {
			t.Errorf("after minutes of failures: %+v", s)
		}
		if s := status(t, running, "well"); s.State != projections.Live || !s.Running() || s.Lag != 0 {
			t.Errorf("the other one: %+v", s)
		}
		if told := said(); strings.Count(told, "\n") != 1 || !strings.Contains(told, "projection=tally") || !strings.Contains(told, full.Error()[:20]) {
			t.Errorf("it said: %s", told)
		}

		ill.Store(false)
		running.CaughtUp(t)
		<-time.After(time.Minute) // of the bubble's time: it has looked for more, and found nothing
		synctest.Wait()
		if s := status(t, running, "tally"); s.State != projections.Live || !s.Running() || s.Lag != 0 {
			t.Errorf("cured: %+v", s)
		}
		if told := said(); strings.Count(told, "\n") != 2 {
			t.Errorf("it said: %s", told)
		}
	})
}

// said is a log that is read while it is written.
type said struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(b)
}

func (s *said) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// logged is projectiontest.Start with a log, in a synctest bubble.
func logged(t *testing.T, m projections.Medium, w *projectiontest.World, logs *said, all ...projections.Projection) (r *projectiontest.Running, stop func()) {
	t.Helper()
	runner, err := projections.New(projections.Options{Medium: m, Store: w, Codec: codec.Catalog, Logger: slog.New(slog.NewTextHandler(logs, nil))}, all...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	return &projectiontest.Running{Runner: runner}, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// refusing makes no tables while it is ill.
type refusing struct {
	projections.Medium
	ill *atomic.Bool
}

func (m refusing) Model(name string, version int) projections.Model {
	return refusingModel{m.Medium.Model(name, version), m.ill}
}

type refusingModel struct {
	projections.Model
	ill *atomic.Bool
}

func (m refusingModel) Create(ctx context.Context, statements string) (projections.Tables, error) {
	if m.ill.Load() {
		return nil, full
	}
	return m.Model.Create(ctx, statements)
}

// Tables that cannot be built are seen in the same way.
func TestFailingToBuildIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := projectiontest.NewWorld()
		history(t, w, 1)
		var logs said
		var ill atomic.Bool
		ill.Store(true)
		medium, _ := projectiontest.OpenMedium(t, t.TempDir())
		running, stop := logged(t, refusing{medium, &ill}, w, &logs, documents("tally"))
		defer stop()
		<-time.After(10 * time.Minute) // of the bubble's time
		synctest.Wait()
		if s := status(t, running, "tally"); s.State != projections.Starting || s.Running() || s.FailingSince.IsZero() {
			t.Errorf("%+v", s)
		}
		if told := logs.text(); strings.Count(told, "\n") != 1 {
			t.Errorf("it said: %s", told)
		}
		ill.Store(false)
		running.CaughtUp(t)
		<-time.After(time.Minute) // of the bubble's time: it has looked for more, and found nothing
		synctest.Wait()
		if s := status(t, running, "tally"); s.State != projections.Live || !s.Running() {
			t.Errorf("cured: %+v", s)
		}
	})
}

// extent shows a log up to a place that a test moves.
type extent struct {
	eventstore.Store
	mu    sync.Mutex
	last  eventstore.Position
	moved chan struct{}
}

func newExtent(s eventstore.Store, last eventstore.Position) *extent {
	return &extent{Store: s, last: last, moved: make(chan struct{})}
}

func (x *extent) to(last eventstore.Position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = last
	close(x.moved)
	x.moved = make(chan struct{})
}

func (x *extent) end() (eventstore.Position, chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last, x.moved
}

func (x *extent) Head(context.Context) (eventstore.Position, error) {
	last, _ := x.end()
	return last, nil
}

func (x *extent) Wait(ctx context.Context, after eventstore.Position) error {
	for {
		last, moved := x.end()
		if after.Compare(last) < 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (x *extent) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	last, _ := x.end()
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range x.Store.ReadAll(ctx, after, limit) {
			if err == nil && r.Position.Compare(last) > 0 || !yield(r, err) {
				return
			}
		}
	}
}

func TestOfTwoRunnersTheLoserStops(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 2)
	half, err := w.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	history(t, w, 2)
	head, err := w.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, slow := t.TempDir(), newExtent(w, half)
	loser, winner := documents("tally"), documents("tally")
	r1 := projectiontest.Start(t, slow, dir, loser)
	r1.CaughtUp(t)
	r2 := projectiontest.Start(t, w, dir, winner)
	r2.CaughtUp(t)
	slow.to(head)
	if err := r1.WaitFor(t.Context(), "tally", head); !errors.Is(err, projections.ErrOvertaken) {
		t.Fatalf("%v, want ErrOvertaken", err)
	}
	if s := status(t, r1, "tally"); s.State != projections.Stopped {
		t.Fatalf("%+v", s)
	}
	history(t, w, 1)
	r2.CaughtUp(t)
	if got := winner.leaves(t); !slices.Equal(got, upTo(10)) {
		t.Fatal(got)
	}
}

// copyDir copies what a kill at this moment would leave behind.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	files, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil || len(files) == 0 {
		t.Error("nothing to copy", err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), content, 0o600); err != nil {
			t.Error(err)
		}
	}
	return to
}

func TestKilledInTheMiddleOfATransaction(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 3)
	dir := t.TempDir()
	p := documents("tally")
	var left []string // directories as kills at each leaf left them
	var mu sync.Mutex
	p.before = func(tx *projections.Tx, leaf int64) error {
		mu.Lock()
		defer mu.Unlock()
		left = append(left, copyDir(t, dir))
		return nil
	}
	r := projectiontest.Start(t, w, dir, p)
	r.CaughtUp(t)
	history(t, w, 3)
	r.CaughtUp(t)
	history(t, w, 3)
	r.CaughtUp(t) // what is copied may not be written to meanwhile
	if err := r.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Stop()
	want := projectiontest.Dump(t, dir, "tally")
	if len(left) != 18+18 {
		t.Fatalf("only %d kills", len(left))
	}
	for i, dir := range left {
		again := documents("tally")
		r := projectiontest.Start(t, w, dir, again)
		r.CaughtUp(t)
		r.Stop()
		if got := projectiontest.Dump(t, dir, "tally"); !slices.Equal(got["seen"], want["seen"]) || !slices.Equal(got["checkpoint"], want["checkpoint"]) {
			t.Fatalf("kill %d: %v", i, got)
		}
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) != 1 {
			t.Fatalf("kill %d leaves %v behind", i, names)
		}
	}
}

// built are the first leaf that a process takes in while it builds, and what is shown at last.
func built(t *testing.T, w *projectiontest.World, place string) (first int64, shown []int64) {
	t.Helper()
	first = -1
	p := documents("tally")
	p.before = func(tx *projections.Tx, leaf int64) error {
		if first < 0 && tx.Building() {
			first = leaf
		}
		return nil
	}
	r := projectiontest.Start(t, w, place, p)
	r.CaughtUp(t)
	shown = p.leaves(t)
	r.Stop()
	return first, shown
}

// page is how many events a runner takes in at once.
const page = 4096

// TestAKilledBuildGoesOnAfterItsLastCommit: the files as a kill in the middle of a page leaves
// them. The first pages are committed one by one, the third and the fourth together.
func TestAKilledBuildGoesOnAfterItsLastCommit(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 3*page/2+50)
	for killed, want := range map[int64]int64{30: 0, page + 30: page, 2*page + 30: 2 * page, 3*page + 30: 2 * page} {
		dir := t.TempDir()
		var left string
		p := documents("tally")
		p.before = func(tx *projections.Tx, leaf int64) error {
			if leaf == killed && left == "" {
				left = copyDir(t, dir)
			}
			return nil
		}
		r := projectiontest.Start(t, w, dir, p)
		r.CaughtUp(t)
		r.Stop()
		first, shown := built(t, w, left)
		if first != want || !slices.Equal(shown, upTo(3*page+100)) {
			t.Errorf("killed at leaf %d: goes on at %d, want %d, and shows %d leaves", killed, first, want, len(shown))
		}
		if names, err := filepath.Glob(filepath.Join(left, "*")); err != nil || len(names) != 1 {
			t.Errorf("killed at leaf %d: %v are left behind", killed, names)
		}
	}
}

// TestAnEndedBuildGoesOnAfterItsLastPage: a process that is told to end leaves as much.
func TestAnEndedBuildGoesOnAfterItsLastPage(t *testing.T) {
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w := projectiontest.NewWorld()
		history(t, w, page/2+50)
		at := place(t)
		p, arrived := documents("tally"), make(chan struct{})
		var once sync.Once
		var goOn sync.WaitGroup
		goOn.Add(1)
		p.before = func(tx *projections.Tx, leaf int64) error {
			if leaf == page+30 {
				once.Do(func() { close(arrived); goOn.Wait() })
			}
			return nil
		}
		medium, closed := projectiontest.OpenMedium(t, at)
		r, err := projections.New(projections.Options{Medium: medium, Store: w, Codec: codec.Catalog, Logger: slog.New(slog.DiscardHandler)}, p)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		<-arrived
		all, err := r.Status(t.Context())
		if s := all[0]; err != nil || s.State != projections.Rebuilding || s.RebuiltTo != page-1 || s.RebuiltFrom != -1 || s.RebuildingSince.IsZero() || s.HeadLeaf != page+99 {
			t.Errorf("while it is built: %+v, %v", s, err)
		}
		stop()
		goOn.Done()
		if err := errors.Join(<-done, closed()); err != nil {
			t.Fatal(err)
		}
		first, shown := built(t, w, at)
		if first != page || !slices.Equal(shown, upTo(page+100)) {
			t.Errorf("goes on at %d, and shows %d leaves", first, len(shown))
		}
	})
}

// gathered is a tally that takes the events of a transaction in together.
type gathered struct{ *tally }

func (p gathered) ApplyAll(ctx context.Context, tx *projections.Tx, events []projections.Taken) error {
	for _, e := range events {
		if err := p.Apply(ctx, tx, *e.Event, e.Leaf); err != nil {
			return err
		}
	}
	return nil
}

// TestABuildSaysWhichEventIsAtFaultAmongSeveralPages: the event lies in the fourth page, which
// is taken in by one transaction with the third.
func TestABuildSaysWhichEventIsAtFaultAmongSeveralPages(t *testing.T) {
	const bad = 3*page + 30
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w := projectiontest.NewWorld()
		history(t, w, 3*page/2+50)
		one, all, well := documents("one"), gathered{documents("all")}, documents("well")
		no := errors.New("no")
		for _, p := range []*tally{one, all.tally} {
			p.before = func(_ *projections.Tx, leaf int64) error {
				if leaf == bad {
					return no
				}
				return nil
			}
		}
		r := projectiontest.Start(t, w, place(t), one, all, well)
		head, err := w.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WaitFor(t.Context(), "well", head); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "all"} {
			err := r.WaitFor(t.Context(), name, head)
			if s := status(t, r, name); !errors.Is(err, no) || s.State != projections.PoisonedAt || s.PoisonedLeaf != bad {
				t.Errorf("%v, %+v", err, s)
			}
		}
		if got := well.leaves(t); !slices.Equal(got, upTo(3*page+100)) {
			t.Errorf("the other one shows %d leaves", len(got))
		}
	})
}

// TestAComparisonOfALongLogEnds: a log of several pages is compared to its end, and the event at
// fault is named that lies in the fourth, which is taken in by one transaction with the third.
func TestAComparisonOfALongLogEnds(t *testing.T) {
	const bad = 3*page + 30
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w, at := projectiontest.NewWorld(), place(t)
		history(t, w, 3*page/2+50)
		r := projectiontest.Start(t, w, at, documents("tally"))
		r.CaughtUp(t)
		r.Stop()
		if found := projectiontest.Compare(t, w, at, documents("tally")); found.Wrong != 0 || found.Incomplete != "" || found.Events != 3*page+100 || found.Rows != 3*page+100 {
			t.Errorf("%+v", found)
		}
		for _, p := range []projections.Projection{atFault(documents("tally"), bad), gathered{atFault(documents("tally"), bad)}} {
			if found := projectiontest.Compare(t, w, at, p); found.Incomplete != projections.LogUnreadable || found.Stopped == nil || *found.Stopped != bad {
				t.Errorf("%+v", found)
			}
		}
	})
}

// atFault has a tally fail at one leaf.
func atFault(p *tally, bad int64) *tally {
	p.before = func(_ *projections.Tx, leaf int64) error {
		if leaf == bad {
			return errors.New("no")
		}
		return nil
	}
	return p
}

func TestRebuildBesideLive(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 4)
	p := documents("tally")
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var slow atomic.Bool
	p.before = func(tx *projections.Tx, leaf int64) error {
		if tx.Building() && slow.Load() {
			once.Do(func() { close(arrived); <-goOn })
		}
		return nil
	}
	dir := t.TempDir()
	r := projectiontest.Start(t, w, dir, p)
	r.CaughtUp(t)
	slow.Store(true)
	done := make(chan error, 1)
	go func() { done <- r.Rebuild(context.Background()) }()
	<-arrived
	history(t, w, 4) // the live one goes on
	r.CaughtUp(t)
	if got := p.leaves(t); !slices.Equal(got, upTo(16)) {
		t.Fatal(got)
	}
	if s := status(t, r, "tally"); s.State != projections.Rebuilding || s.Leaf != 15 || s.RebuiltTo > 7 {
		t.Fatalf("%+v", s)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// No reader ever sees less than it saw before.
	if got := p.leaves(t); !slices.Equal(got, upTo(16)) {
		t.Fatal(got)
	}
	r.Stop()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 || !strings.HasSuffix(names[0], "tally.v1.g000002.db") {
		t.Fatal(names)
	}
}

func TestReadersNeverNoticeARebuild(t *testing.T) {
	projectiontest.OnEach(t, readersNeverNoticeARebuild)
}

func readersNeverNoticeARebuild(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	history(t, w, 50)
	p := documents("tally")
	r := projectiontest.Start(t, w, place(t), p)
	r.CaughtUp(t)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			most := 0
			for ctx.Err() == nil {
				var n int
				if _, err := p.view.Get(context.Background(), `SELECT count(*) FROM seen`, nil, &n); err != nil || n < most {
					t.Errorf("%d after %d: %v", n, most, err)
					return
				}
				most = n
			}
		})
	}
	for range 3 {
		history(t, w, 5)
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	readers.Wait()
}

func TestRebuildGivenUpLeavesTheLiveOne(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 4)
	p := documents("tally")
	ctx, giveUp := context.WithCancel(t.Context())
	live := false
	p.before = func(tx *projections.Tx, leaf int64) error {
		if live && tx.Building() && leaf == 5 {
			giveUp()
		}
		return nil
	}
	dir := t.TempDir()
	r := projectiontest.Start(t, w, dir, p)
	r.CaughtUp(t)
	live = true
	if err := r.Rebuild(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want canceled", err)
	}
	history(t, w, 1)
	r.CaughtUp(t)
	if got := p.leaves(t); !slices.Equal(got, upTo(10)) {
		t.Fatal(got)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.building*")); len(names) > 0 {
		t.Fatal(names)
	}
	if s := status(t, r, "tally"); s.State == projections.Rebuilding {
		t.Fatalf("%+v", s)
	}
}

func TestWhatCannotBeUsedIsBuiltAnew(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 3)
	older := projectiontest.NewWorld()
	history(t, older, 1)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, file string)
		then  *tally
		store eventstore.Store
		want  int
	}{
		{"another version", func(*testing.T, string) {}, &tally{name: "tally", version: 2, categories: []string{"document", "citizen"}}, w, 6},
		{"an older log", func(*testing.T, string) {}, documents("tally"), older, 2},
		{"a damaged file", func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte("this is no database, and never was one"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, documents("tally"), w, 6},
		{"an empty file", func(t *testing.T, file string) {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		}, documents("tally"), w, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := projectiontest.Start(t, w, dir, documents("tally"))
			r.CaughtUp(t)
			r.Stop()
			c.spoil(t, filepath.Join(dir, "tally.v1.g000001.db"))
			r = projectiontest.Start(t, c.store, dir, c.then)
			r.CaughtUp(t)
			if got := c.then.leaves(t); !slices.Equal(got, upTo(c.want)) {
				t.Fatal(got)
			}
			r.Stop()
			if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
				t.Fatal(names)
			}
		})
	}
}

// A byte that changes in the tables of a read model is shown to nobody: whoever reads it is
// told that the model is not ready, and it is built anew from the log.
func TestDamagedTablesAreBuiltAnewAndNeverShown(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 3)
	for _, table := range []string{"seen", "checkpoint"} {
		t.Run(table, func(t *testing.T) {
			dir := t.TempDir()
			r := projectiontest.Start(t, w, dir, documents("tally"))
			r.CaughtUp(t)
			r.Stop()
			projectiontest.Spoil(t, dir, "tally", table)
			p := documents("tally")
			r = projectiontest.Start(t, w, dir, p)
			refused := 0
			for {
				r.CaughtUp(t)
				var got []int64
				err := p.view.Each(t.Context(), `SELECT leaf FROM seen ORDER BY leaf`, nil, func(row projections.Row) error {
					got = append(got, row.Int64(0))
					return nil
				})
				if err == nil {
					if !slices.Equal(got, upTo(6)) {
						t.Fatalf("shown: %v", got)
					}
					break
				}
				if !errors.Is(err, projections.ErrNotReady) {
					t.Fatal(err)
				}
				refused++
			}
			if table == "seen" && refused == 0 {
				t.Error("nobody has met the damage")
			}
			r.Stop()
			if names, _ := filepath.Glob(filepath.Join(dir, "tally.v1.g000001.db")); len(names) != 0 {
				t.Error("the damaged tables are still there")
			}
		})
	}
}

// A file of a program that wrote no checksums is built anew once.
func TestTablesWithoutChecksumsAreBuiltAnew(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 1)
	dir := t.TempDir()
	path := filepath.Join(dir, "tally.v1.g000007.db")
	db, err := sqlitedb.Open(t.Context(), path, sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p := documents("tally")
	r := projectiontest.Start(t, w, dir, p)
	r.CaughtUp(t)
	if got := p.leaves(t); !slices.Equal(got, upTo(2)) {
		t.Error(got)
	}
	r.Stop()
	if names, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(names) != 1 || names[0] == path {
		t.Error(names)
	}
}

// counting counts what is decoded.
type counting struct {
	eventstore.Codec
	n atomic.Int64
}

func (c *counting) Decode(typ string, clear, personal []byte) (any, error) {
	c.n.Add(1)
	return c.Codec.Decode(typ, clear, personal)
}

func TestAllAreRebuiltFromOneReading(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 20)
	c := &counting{Codec: codec.Catalog}
	all := []projections.Projection{documents("one"), documents("two"), documents("three")}
	medium, _ := projectiontest.OpenMedium(t, t.TempDir())
	r, err := projections.New(projections.Options{Medium: medium, Store: w, Codec: c}, all...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.n.Load(); n != 80 { // once for the first build, once for the rebuild
		t.Errorf("%d events decoded, want 80", n)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// mute never announces anything.
type mute struct{ eventstore.Store }

func (mute) Wait(ctx context.Context, _ eventstore.Position) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestWatchdogNoticesWhatNobodyAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := projectiontest.NewWorld()
		p := documents("tally")
		r := projectiontest.Start(t, mute{w}, t.TempDir(), p)
		history(t, w, 1)
		r.CaughtUp(t)
		<-time.After(time.Second) // of the bubble's time: past the pause between two batches
		began := time.Now()
		synctest.Wait() // it rests now
		history(t, w, 1)
		r.CaughtUp(t)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("noticed after %v", took)
		}
		if s := status(t, r, "tally"); s.Stalls == 0 || s.Lag != 0 {
			t.Errorf("%+v", s)
		}
		r.Stop()
	})
}

func TestWaitForEndsWithItsContextAndWithTheRunner(t *testing.T) {
	projectiontest.OnEach(t, waitForEndsWithItsContextAndWithTheRunner)
}

func waitForEndsWithItsContextAndWithTheRunner(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	history(t, w, 1)
	p := documents("tally")
	r := projectiontest.Start(t, w, place(t), p)
	r.CaughtUp(t)
	beyond := eventstore.Position{Commit: 1 << 40, Prepare: 1 << 40}
	if err := r.WaitFor(t.Context(), "nobody", beyond); !errors.Is(err, projections.ErrUnknown) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.WaitFor(ctx, "tally", beyond); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.Stop()
	if err := r.WaitFor(t.Context(), "tally", beyond); !errors.Is(err, projections.ErrNotReady) {
		t.Fatal(err)
	}
	if _, err := p.view.Query(t.Context(), `SELECT 1`); !errors.Is(err, projections.ErrNotReady) {
		t.Fatal(err)
	}
	if s := status(t, r, "tally"); s.State != projections.Stopped {
		t.Fatalf("%+v", s)
	}
}

func TestNewRefusesWhatCannotRun(t *testing.T) {
	for name, all := range map[string][]projections.Projection{
		"no name":        {documents("")},
		"a path":         {documents("../x")},
		"twice the same": {documents("a"), documents("a")},
		"no such stream": {&tally{name: "a", categories: []string{"nonsense"}}},
	} {
		medium, _ := projectiontest.OpenMedium(t, t.TempDir())
		if _, err := projections.New(projections.Options{Medium: medium, Store: projectiontest.NewWorld(), Codec: codec.Catalog}, all...); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// failing cannot read past a position.
type failing struct {
	eventstore.Store
	ill atomic.Bool
}

func (f *failing) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		n := 0
		for r, err := range f.Store.ReadAll(ctx, after, limit) {
			if n++; f.ill.Load() && n > 3 {
				yield(eventstore.Record{}, eventstore.ErrUnavailable)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestRebuildFailsWithTheLogAndLeavesTheLiveOne(t *testing.T) {
	w := projectiontest.NewWorld()
	history(t, w, 4)
	store := &failing{Store: w}
	dir, p := t.TempDir(), documents("tally")
	r := projectiontest.Start(t, store, dir, p)
	r.CaughtUp(t)
	store.ill.Store(true)
	if err := r.Rebuild(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("%v, want ErrUnavailable", err)
	}
	store.ill.Store(false)
	history(t, w, 1)
	r.CaughtUp(t)
	if got := p.leaves(t); !slices.Equal(got, upTo(10)) {
		t.Fatal(got)
	}
	r.Stop()
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 || !strings.HasSuffix(names[0], "g000001.db") {
		t.Fatal(names)
	}
}
