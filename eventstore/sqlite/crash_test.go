package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/faulty/faultfs"
	"coffre/eventstore/storetest"
)

// ledger is what the callers of a store remember, outside the store.
type ledger struct {
	mu      sync.Mutex
	batches []entry
}

type entry struct {
	records []eventstore.Record
	outcome outcome
	at      eventstore.Position // when acknowledged
}

type outcome int

const (
	acknowledged outcome = iota
	unknown              // all or nothing
	refused              // nothing
)

func (l *ledger) note(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, e)
}

// work appends rounds of concurrent batches until one is not acknowledged.
func (l *ledger) work(t *testing.T, s *Store, rounds int) {
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				records := storetest.Records(1 + (round+i)%3)
				for j := range records {
					records[j].Sealed = bytes.Repeat(records[j].Sealed, 1+50*((round+j)%3))
				}
				done, err := s.Append(t.Context(), eventstore.Batch{
					Stream: eventstore.Stream(fmt.Sprintf("consent-%d", (round+i)%4)), Expected: eventstore.Any, Records: records,
				})
				e := entry{records: records, at: done.Position}
				switch {
				case err == nil:
				case errors.Is(err, eventstore.ErrOutcomeUnknown):
					e.outcome = unknown
				case errors.Is(err, eventstore.ErrFailed), errors.Is(err, eventstore.ErrDiskFull):
					e.outcome = refused
				default:
					e.outcome = refused
					if _, corrupt := errors.AsType[*eventstore.Corrupt](err); !corrupt {
						t.Errorf("append ended with %v", err)
					}
				}
				l.note(e)
			})
		}
		wg.Wait()
		if l.broken() {
			return
		}
	}
}

func (l *ledger) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.batches {
		if e.outcome != acknowledged {
			return true
		}
	}
	return false
}

// settle turns what nobody knew into what is there, as a caller would by reading.
func (l *ledger) settle(there map[uuid.UUID]eventstore.Record) {
	for i, e := range l.batches {
		if e.outcome != unknown {
			continue
		}
		l.batches[i].outcome = refused
		if last, ok := there[e.records[len(e.records)-1].ID]; ok {
			l.batches[i].outcome, l.batches[i].at = acknowledged, last.Position
		}
	}
}

// check demands I1, I2 and I4 of a store that was opened again: what was
// acknowledged is there, once, byte for byte, in place; what was refused is not;
// every batch is whole; order is dense; everything verifies.
func (l *ledger) check(t *testing.T, s *Store) {
	t.Helper()
	there := map[uuid.UUID]eventstore.Record{}
	expected := int64(1)
	for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := there[r.ID]; twice || r.Position != dense.Position(expected) {
			t.Fatalf("record %d is at %v, twice: %t", expected, r.Position, twice)
		}
		there[r.ID] = r
		expected++
	}
	if damaged, err := s.Verify(t.Context(), eventstore.Position{}, nil); err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	accounted := 0
	for _, e := range l.batches {
		n := 0
		for _, want := range e.records {
			got, ok := there[want.ID]
			if !ok {
				continue
			}
			n++
			want.Stream, want.Revision = got.Stream, got.Revision
			if !storetest.Same(got, want) {
				t.Fatalf("record %v changed", got.Position)
			}
		}
		accounted += n
		switch {
		case n != 0 && n != len(e.records):
			t.Fatalf("%d of %d records of a batch are there", n, len(e.records))
		case e.outcome == acknowledged && n == 0:
			t.Fatal("an acknowledged batch is lost")
		case e.outcome == acknowledged && there[e.records[n-1].ID].Position != e.at:
			t.Fatal("an acknowledged batch was moved")
		case e.outcome == refused && n != 0:
			t.Fatal("a refused batch is there")
		}
	}
	if accounted != len(there) {
		t.Fatalf("%d records are there that nobody appended", len(there)-accounted)
	}
	l.settle(there)
}

func (l *ledger) clone() *ledger { return &ledger{batches: append([]entry(nil), l.batches...)} }

// TestCrashAtEveryCall breaks every call to the medium, one per run, in a soak in every
// way, then takes the power away, and looks at what a new process finds. It does so from
// an empty directory and from one a crash left behind, so that the start and the
// recovery are broken as well as the work.
func TestCrashAtEveryCall(t *testing.T) {
	soak := os.Getenv("COFFRE_SOAK") == "1"
	turn := rand.IntN(60) // which way comes first, of three or five, and which power cut
	t.Logf("turn %d", turn)
	rounds := 4
	if soak {
		rounds = 10
	}
	crashed, before := crashedDirectory(t)
	for _, start := range []struct {
		name string
		dir  string
		l    *ledger
	}{{"empty", t.TempDir(), &ledger{}}, {"crashed", crashed, before}} {
		t.Run(start.name, func(t *testing.T) {
			quiet := run{from: start.dir, rounds: rounds}
			counts := quiet.play(t, start.l.clone())
			if counts[faultfs.Write] < 20 || counts[faultfs.Sync] < 5 || counts[faultfs.SyncDir] == 0 {
				t.Fatalf("only %v calls: the medium was hardly used", counts)
			}
			for kind, faults := range map[faultfs.Change][]faultfs.Fault{
				faultfs.Write:    {faultfs.Fail, faultfs.Short, faultfs.Full, faultfs.Crash, faultfs.CrashAfter},
				faultfs.Sync:     {faultfs.Fail, faultfs.Crash, faultfs.CrashAfter},
				faultfs.Truncate: {faultfs.Fail, faultfs.Crash, faultfs.CrashAfter},
				faultfs.Create:   {faultfs.Fail, faultfs.Crash, faultfs.CrashAfter},
				faultfs.Delete:   {faultfs.Fail, faultfs.Crash, faultfs.CrashAfter},
				faultfs.SyncDir:  {faultfs.Fail, faultfs.Crash, faultfs.CrashAfter},
				faultfs.Rename:   {faultfs.Fail, faultfs.Crash, faultfs.CrashAfter},
			} {
				t.Run(kind.String(), func(t *testing.T) {
					t.Parallel()
					for n := range counts[kind] {
						for i, fault := range faults {
							// Of the ways to break it each call meets one in turn, and each run
							// one power cut; the soak plays them all.
							if !soak && (n+i+turn)%len(faults) != 0 {
								continue
							}
							for cut := range uint64(4) {
								if !soak && cut != uint64(n+i+turn)%4 {
									continue
								}
								r := run{from: start.dir, rounds: rounds, kind: kind, n: n + 1, fault: fault, cut: cut}
								t.Run(r.String(), func(t *testing.T) { r.play(t, start.l.clone()) })
							}
						}
					}
				})
			}
		})
	}
}

// TestSeenAfterAKillSurvivesAPowerCut kills the process at a call to the medium, or lets
// a sync fail there, and starts another one. Whatever that one reads is on the medium,
// although its predecessor never synced it: somebody who follows the log may have it.
func TestSeenAfterAKillSurvivesAPowerCut(t *testing.T) {
	unsynced := 0
	for _, broken := range []struct {
		change faultfs.Change
		fault  faultfs.Fault
	}{{faultfs.Write, faultfs.CrashAfter}, {faultfs.Sync, faultfs.Crash}, {faultfs.Sync, faultfs.Fail}} {
		for n := 1; ; n++ {
			fsys := faultfs.New(t)
			l := &ledger{}
			s, err := Open(t.Context(), t.TempDir(), Options{VFS: fsys.Name, Readers: 1, checkpointPages: 8, settleEvents: 9, moveLeast: 2})
			if err != nil {
				t.Fatal(err)
			}
			r := run{kind: broken.change, n: fsys.Counts()[broken.change] + n, fault: broken.fault}
			fsys.SetRule(r.rule)
			l.work(t, s, 4)
			dir, dead := t.TempDir(), t.TempDir()
			next := fsys.Kill(t, dir)
			s.Close() // of no use to anybody any more
			if !r.fired.Load() {
				break
			}
			before, err := Open(t.Context(), dir, Options{VFS: next.Name, Readers: 1})
			if err != nil {
				t.Fatalf("%v %v: after the kill: %v", broken, n, err)
			}
			if head, err := before.Head(t.Context()); err != nil || head != dense.Position(int64(l.acknowledged())) {
				unsynced++
			}
			l.check(t, before)
			next.PowerOff(t, dead, nil)
			before.Close()
			after, err := Open(t.Context(), dead, Options{VFS: faultfs.New(t).Name, Readers: 1})
			if err != nil {
				t.Fatalf("%v %v: after the power cut: %v", broken, n, err)
			}
			l.check(t, after)
			after.Close()
		}
	}
	if unsynced == 0 {
		t.Fatal("no start has read more than was acknowledged")
	}
}

// acknowledged counts the records of the batches that were acknowledged.
func (l *ledger) acknowledged() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.batches {
		if e.outcome == acknowledged {
			n += len(e.records)
		}
	}
	return n
}

// run is one life of a store with one fault in it.
type run struct {
	from   string // a copy of this directory is opened
	rounds int
	kind   faultfs.Change
	n      int // 0 for no fault
	fault  faultfs.Fault
	cut    uint64 // 0: the power cut takes all that was not synced; else the seed of what survives
	fired  atomic.Bool
}

func (r *run) String() string {
	return fmt.Sprintf("%d fault %d cut %d", r.n, r.fault, r.cut)
}

func (r *run) rule(op faultfs.Op) faultfs.Fault {
	if op.Change != r.kind || op.N != r.n {
		return faultfs.Pass
	}
	r.fired.Store(true)
	return r.fault
}

// play opens the store, works, closes, takes the power away and checks what is
// left. It returns the calls made until then.
func (r *run) play(t *testing.T, l *ledger) map[faultfs.Change]int {
	t.Helper()
	dir := t.TempDir()
	copyFiles(t, r.from, dir)
	fsys := faultfs.New(t)
	fsys.SetRule(r.rule)
	if s, err := Open(t.Context(), dir, Options{VFS: fsys.Name, Readers: 1, checkpointPages: 8, settleEvents: 9, moveLeast: 2}); err == nil {
		l.work(t, s, r.rounds)
		// A failed sync is told to nobody but by refusing from then on.
		mustFail := r.fired.Load() && r.kind == faultfs.Sync && r.fault == faultfs.Fail
		l.mustStayRefused(t, s, fsys, mustFail)
		s.Close() // its error, after a fault, is not what this is about
	} else if r.n == 0 {
		t.Fatal(err)
	}
	counts := fsys.Counts()
	var random *rand.Rand
	if r.cut > 0 {
		random = rand.New(rand.NewPCG(uint64(r.kind)<<32|uint64(r.n), r.cut))
	}
	after := t.TempDir()
	fsys.PowerOff(t, after, random)
	reopened, err := Open(t.Context(), after, Options{VFS: faultfs.New(t).Name, Readers: 1})
	if err != nil {
		t.Fatalf("after the crash: %v", err)
	}
	defer reopened.Close()
	l.check(t, reopened)
	on := &ledger{}
	on.work(t, reopened, 1)
	if on.broken() {
		t.Fatal("after the crash the log does not go on")
	}
	return counts
}

// mustStayRefused demands that a store whose medium failed takes nothing more, and
// still reads, unless the machine is off.
func (l *ledger) mustStayRefused(t *testing.T, s *Store, fsys *faultfs.FS, mustFail bool) {
	t.Helper()
	failed := false
	for range 3 {
		records := storetest.Records(1)
		done, err := s.Append(t.Context(), eventstore.Batch{Stream: "consent-1", Expected: eventstore.Any, Records: records})
		e := entry{records: records, at: done.Position}
		switch {
		case errors.Is(err, eventstore.ErrOutcomeUnknown):
			e.outcome = unknown
		case err != nil:
			e.outcome = refused
		}
		l.note(e)
		if failed && (!errors.Is(err, eventstore.ErrFailed) || e.outcome == unknown) {
			t.Fatalf("after the medium failed an append ended with %v", err)
		}
		failed = failed || errors.Is(err, eventstore.ErrFailed)
	}
	if mustFail && !failed {
		t.Fatal("a sync failed and appends go on")
	}
	if !failed || fsys.Dead() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[uuid.UUID]bool{}
	for r, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatalf("after the medium failed a read ended with %v", err)
		}
		there[r.ID] = true
	}
	for _, e := range l.batches {
		if e.outcome == acknowledged && !there[e.records[0].ID] {
			t.Fatal("after the medium failed a read misses an acknowledged record")
		}
	}
}

// crashedDirectory is what a crash in the middle of work leaves, with the ledger of
// that work.
func crashedDirectory(t *testing.T) (string, *ledger) {
	t.Helper()
	fsys := faultfs.New(t)
	s, err := Open(t.Context(), t.TempDir(), Options{VFS: fsys.Name, checkpointPages: 8})
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{}
	l.work(t, s, 7)
	dir := t.TempDir()
	fsys.PowerOff(t, dir, nil)
	s.Close()
	if l.broken() {
		t.Fatal("the work itself failed")
	}
	return dir, l
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
