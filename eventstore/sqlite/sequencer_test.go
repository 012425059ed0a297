package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/dense"
	"coffre/eventstore/faulty/faultfs"
	"coffre/eventstore/storetest"
)

// held is a store whose medium can be held in the middle of a sync, so that what
// happens meanwhile happens for certain.
type held struct {
	*Store
	fsys    *faultfs.FS
	entered chan struct{} // the sync has begun
	release chan struct{} // closed to let it and all later ones end
}

func openHeld(t *testing.T, o Options) *held {
	t.Helper()
	h := &held{fsys: faultfs.New(t), entered: make(chan struct{}, 1), release: make(chan struct{})}
	o.VFS = h.fsys.Name
	s, err := Open(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	h.Store = s
	h.fsys.SetRule(func(op faultfs.Op) faultfs.Fault {
		if op.Change == faultfs.Sync {
			select {
			case h.entered <- struct{}{}:
			default:
			}
			<-h.release
		}
		return faultfs.Pass
	})
	t.Cleanup(func() { s.Close() })
	return h
}

type result struct {
	done eventstore.Appended
	err  error
}

// start begins an append and returns once it is queued or answered.
func (h *held) start(ctx context.Context, b eventstore.Batch) <-chan result {
	answered := make(chan result, 1)
	before := h.sequencer.queue.Len()
	go func() {
		done, err := h.Append(ctx, b)
		answered <- result{done, err}
	}()
	for {
		if h.sequencer.queue.Len() > before || len(answered) > 0 {
			return answered
		}
		runtime.Gosched()
	}
}

// hold begins an append and returns when its sync has begun.
func (h *held) hold(ctx context.Context, b eventstore.Batch) <-chan result {
	answered := make(chan result, 1)
	go func() {
		done, err := h.Append(ctx, b)
		answered <- result{done, err}
	}()
	<-h.entered
	return answered
}

func some(name string, e eventstore.Expected) eventstore.Batch {
	return eventstore.Batch{Stream: eventstore.Stream(name), Expected: e, Records: storetest.Records(1)}
}

func TestOverloadKeepsAShareForReserved(t *testing.T) {
	h := openHeld(t, Options{MaxQueued: 16})
	answers := []<-chan result{h.hold(t.Context(), some("consent-0", eventstore.Any))}
	for i := range 14 {
		answers = append(answers, h.start(t.Context(), some(fmt.Sprintf("consent-%d", i), eventstore.Any)))
	}
	reserved := func() eventstore.Batch {
		b := some("consent-1", eventstore.StreamExists)
		b.Class = eventstore.Reserved
		return b
	}
	if _, err := h.Append(t.Context(), some("consent-1", eventstore.Any)); !errors.Is(err, eventstore.ErrOverloaded) {
		t.Fatalf("an ordinary append beyond its share: %v, want ErrOverloaded", err)
	}
	for range 2 {
		answers = append(answers, h.start(t.Context(), reserved()))
	}
	if _, err := h.Append(t.Context(), reserved()); !errors.Is(err, eventstore.ErrOverloaded) {
		t.Fatalf("a reserved append beyond the bound: %v, want ErrOverloaded", err)
	}
	close(h.release)
	for i, a := range answers {
		if r := <-a; r.err != nil {
			t.Errorf("append %d: %v", i, r.err)
		}
	}
	if _, err := h.Append(t.Context(), some("consent-1", eventstore.Any)); err != nil {
		t.Errorf("after the overload: %v", err)
	}
}

func TestOverloadByBytes(t *testing.T) {
	h := openHeld(t, Options{MaxQueuedBytes: 1 << 20})
	large := func() eventstore.Batch {
		b := some("consent-1", eventstore.Any)
		b.Records[0].Sealed = make([]byte, 400<<10)
		return b
	}
	answers := []<-chan result{h.hold(t.Context(), large()), h.start(t.Context(), large()), h.start(t.Context(), large())}
	if _, err := h.Append(t.Context(), large()); !errors.Is(err, eventstore.ErrOverloaded) {
		t.Fatalf("%v, want ErrOverloaded", err)
	}
	close(h.release)
	for _, a := range answers {
		if r := <-a; r.err != nil {
			t.Error(r.err)
		}
	}
	// One that is larger than the queue by itself is taken when nobody waits.
	b := some("consent-2", eventstore.Any)
	b.Records = storetest.Records(4)
	for i := range b.Records {
		b.Records[i].Sealed = make([]byte, 400<<10)
	}
	if _, err := h.Append(t.Context(), b); err != nil {
		t.Error(err)
	}
}

func TestWhatWaitsSharesOneSync(t *testing.T) {
	h := openHeld(t, Options{})
	answers := []<-chan result{h.hold(t.Context(), some("consent-0", eventstore.Any))}
	for i := range 50 {
		answers = append(answers, h.start(t.Context(), some(fmt.Sprintf("consent-%d", i), eventstore.Any)))
	}
	before := h.fsys.Counts()[faultfs.Sync]
	close(h.release)
	for _, a := range answers {
		if r := <-a; r.err != nil {
			t.Fatal(r.err)
		}
	}
	if n := h.fsys.Counts()[faultfs.Sync] - before; n != 1 {
		t.Fatalf("50 appends that waited took %d syncs", n)
	}
}

// TestMembersOfOneTransaction: each is judged by itself, those before it included.
func TestMembersOfOneTransaction(t *testing.T) {
	h := openHeld(t, Options{})
	first := h.hold(t.Context(), some("consent-0", eventstore.Any))
	repeated := some("consent-1", eventstore.NoStream)
	steps := []struct {
		batch eventstore.Batch
		want  string
	}{
		{repeated, "0"},
		{some("consent-1", eventstore.NoStream), "wrong at 0"},
		{some("consent-1", eventstore.Exact(0)), "1"},
		{some("consent-1", eventstore.Exact(0)), "wrong at 1"},
		{some("consent-2", eventstore.StreamExists), "wrong at -1"},
		{repeated, "0 again"},
		{some("consent-1", eventstore.StreamExists), "2"},
		{some("consent-2", eventstore.Any), "0"},
		{some("consent-2", eventstore.Exact(0)), "1"},
	}
	var answers []<-chan result
	for _, s := range steps {
		answers = append(answers, h.start(t.Context(), s.batch))
	}
	close(h.release)
	if r := <-first; r.err != nil {
		t.Fatal(r.err)
	}
	for i, a := range answers {
		r := <-a
		got := fmt.Sprint(r.done.First)
		if wrong, ok := errors.AsType[*eventstore.WrongRevision](r.err); ok {
			got = fmt.Sprintf("wrong at %d", wrong.Actual)
		} else if r.err != nil {
			t.Fatal(r.err)
		}
		if r.done.Repeated {
			got += " again"
		}
		if got != steps[i].want {
			t.Errorf("member %d: %s, want %s", i, got, steps[i].want)
		}
	}
}

func TestCancelledWhileQueuedAndInsideTheTransaction(t *testing.T) {
	h := openHeld(t, Options{})
	inside, cancelInside := context.WithCancel(t.Context())
	queued, cancelQueued := context.WithCancel(t.Context())
	a, b, c := some("consent-1", eventstore.Any), some("consent-1", eventstore.Any), some("consent-1", eventstore.Any)
	first := h.hold(inside, a)
	second := h.start(queued, b)
	third := h.start(t.Context(), c)
	cancelQueued()
	if r := <-second; !errors.Is(r.err, context.Canceled) || errors.Is(r.err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("cancelled while queued: %v", r.err)
	}
	cancelInside()
	if r := <-first; !errors.Is(r.err, eventstore.ErrOutcomeUnknown) || errors.Is(r.err, context.Canceled) {
		t.Fatalf("cancelled inside: %v", r.err)
	}
	clear(a.Records[0].Sealed) // the caller has it back; the store has its own
	close(h.release)
	if r := <-third; r.err != nil || r.done.First != 1 {
		t.Fatalf("%+v, %v", r.done, r.err)
	}
	again, err := h.Append(t.Context(), a)
	if err != nil || !again.Repeated || again.First != 0 {
		t.Fatalf("settling by repetition: %+v, %v", again, err)
	}
	n := 0
	for r, err := range h.ReadStream(t.Context(), "consent-1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.ID == b.Records[0].ID || len(r.Sealed) == 0 || r.Sealed[1] != 0xff {
			t.Fatalf("revision %d is not what was appended", r.Revision)
		}
		n++
	}
	if n != 2 {
		t.Fatalf("%d records, want 2", n)
	}
}

func TestCloseAnswersWhoWaits(t *testing.T) {
	h := openHeld(t, Options{})
	first := h.hold(t.Context(), some("consent-1", eventstore.Any))
	second := h.start(t.Context(), some("consent-1", eventstore.Any))
	closed := make(chan error)
	go func() { closed <- h.Close() }()
	if r := <-second; !errors.Is(r.err, eventstore.ErrClosed) {
		t.Fatalf("queued behind a close: %v", r.err)
	}
	close(h.release)
	if r := <-first; r.err != nil {
		t.Fatalf("under way at a close: %v", r.err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	fsys := faultfs.New(t)
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{VFS: fsys.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Append(t.Context(), some("consent-1", eventstore.Any)); err != nil {
		t.Fatal(err)
	}
	full := func(op faultfs.Op) faultfs.Fault {
		if op.Change == faultfs.Write && op.Grows {
			return faultfs.Full
		}
		return faultfs.Pass
	}
	fsys.SetRule(full)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Append(t.Context(), some("consent-1", eventstore.Any)); !errors.Is(err, eventstore.ErrDiskFull) {
				t.Errorf("%v, want ErrDiskFull", err)
			}
		})
	}
	wg.Wait()
	if n := count(t, s); n != 1 {
		t.Fatalf("%d records, want 1", n)
	}
	fsys.SetRule(func(faultfs.Op) faultfs.Fault { return faultfs.Pass })
	if done, err := s.Append(t.Context(), some("consent-1", eventstore.Any)); err != nil || done.First != 1 || done.Position != dense.Position(2) {
		t.Fatalf("once there is room: %+v, %v", done, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fsys.SetRule(full)
	s, err = Open(t.Context(), dir, Options{VFS: fsys.Name})
	if err != nil {
		t.Fatalf("start on a full disk: %v", err)
	}
	defer s.Close()
	if n := count(t, s); n != 2 {
		t.Fatalf("on a full disk %d records are read, want 2", n)
	}
	if _, err := s.Append(t.Context(), some("consent-1", eventstore.Any)); !errors.Is(err, eventstore.ErrDiskFull) {
		t.Fatalf("%v, want ErrDiskFull", err)
	}
}

func count(t *testing.T, s *Store) (n int) {
	t.Helper()
	for _, err := range s.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestErrorsCarryNoRecord: what SQLite says of a failure must not quote a value.
func TestErrorsCarryNoRecord(t *testing.T) {
	fsys := faultfs.New(t)
	s, err := Open(t.Context(), t.TempDir(), Options{VFS: fsys.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fsys.SetRule(func(op faultfs.Op) faultfs.Fault {
		if op.Change == faultfs.Sync {
			return faultfs.Fail
		}
		return faultfs.Pass
	})
	b := some("consent-secret-identifier", eventstore.Any)
	b.Records[0].Sealed = []byte("canary")
	for range 2 {
		_, err := s.Append(t.Context(), b)
		if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "secret-identifier") {
			t.Fatalf("%v", err)
		}
	}
}

// TestDiskFullLeavesNothingBehind: the log is written over what it held before, so
// that the part a full disk takes of a frame may be all that was to change of it, and
// the commit whole for whoever starts next. A batch that was told it found no room
// must stay absent all the same.
func TestDiskFullLeavesNothingBehind(t *testing.T) {
	refusals := 0
	for already := 10; already < 13; already++ { // the last page is filled more and more
		for room := 0; refusedAfter(t, already, room); room += 8 << 10 { // about half a frame
			refusals++
		}
	}
	if refusals < 3*4 {
		t.Fatalf("only %d writes were refused", refusals)
	}
}

// refusedAfter gives an append room for so many bytes of the write-ahead log, and tells
// whether it needs more.
func refusedAfter(t *testing.T, already, room int) bool {
	t.Helper()
	fsys, dir := faultfs.New(t), t.TempDir()
	s, err := Open(t.Context(), dir, Options{VFS: fsys.Name, checkpointPages: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	add := func() error {
		b := some("consent-1", eventstore.Any)
		b.Records[0].Sealed = make([]byte, 4<<10)
		_, err := s.Append(t.Context(), b)
		return err
	}
	for range already {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	var left, refused atomic.Int64 // to the log only: the last append's checkpoint may still be going on
	left.Store(int64(room))
	fsys.SetRule(func(op faultfs.Op) faultfs.Fault {
		if op.Change != faultfs.Write || !strings.HasSuffix(op.File, "-wal") || refused.Load() > 0 {
			return faultfs.Pass
		}
		if now := left.Add(-int64(op.Size)); now < 0 {
			refused.Add(1)
			return faultfs.FullAfter(op.Size + int(now))
		}
		return faultfs.Pass
	})
	err = add()
	if err == nil {
		return false
	}
	if !errors.Is(err, eventstore.ErrDiskFull) {
		t.Fatal(err)
	}
	killed := t.TempDir()
	copyFiles(t, dir, killed) // what a killed process leaves: all it wrote
	after, err := Open(t.Context(), killed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if got := count(t, after); got != already {
		t.Errorf("after %d bytes: %d records after the start, want %d", room, got, already)
	}
	return true
}
