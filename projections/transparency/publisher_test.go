package transparency_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/faulty"
	"coffre/eventstore/proof"
	"coffre/projections/projectiontest"
	"coffre/projections/transparency"
)

var errCrash = errors.New("crash")

// steps counts the calls that publishing makes, and ends the process before or after one.
type steps struct {
	n, at int
	after bool
}

func (s *steps) do(effect func() error) error {
	s.n++
	if s.n == s.at && !s.after {
		return errCrash
	}
	if err := effect(); err != nil {
		return err
	}
	if s.n == s.at {
		return errCrash
	}
	return nil
}

// place is a checkpoints.Place in memory.
type place struct {
	note  []byte
	steps *steps
}

func (p *place) Last(context.Context) ([]byte, error) { return p.note, nil }

func (p *place) Replace(_ context.Context, former, next []byte) error {
	return p.steps.do(func() error {
		if !bytes.Equal(p.note, former) {
			return checkpoints.ErrOvertaken
		}
		p.note = next
		return nil
	})
}

// keeper signs and remembers everything that it ever signed, also what nobody kept.
type keeper struct {
	private ed25519.PrivateKey
	public  []ed25519.PublicKey
	signed  [][]byte
	steps   *steps
}

func newKeeper(s *steps) *keeper {
	k := &keeper{steps: s}
	k.rotate()
	return k
}

func (k *keeper) rotate() {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	k.private = private
}

func (k *keeper) Sign(_ context.Context, message []byte) (signature []byte, id string, err error) {
	err = k.steps.do(func() error {
		k.signed = append(k.signed, bytes.Clone(message))
		signature = ed25519.Sign(k.private, message)
		return nil
	})
	return signature, k.id(), err
}

func (k *keeper) key() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }
func (k *keeper) id() string             { return fmt.Sprintf("%x", k.key()) }

func (k *keeper) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return k.key(), k.id(), nil
}

func (k *keeper) Note(_ context.Context, _ string, public ed25519.PublicKey) error {
	return k.steps.do(func() error {
		k.public = append(k.public, public)
		return nil
	})
}

func (k *keeper) Public(context.Context) ([]ed25519.PublicKey, error) { return k.public, nil }

// vault is what publishing needs, and outlives crashes.
type vault struct {
	*projectiontest.World
	tree          *transparency.Tree
	running       *projectiontest.Running
	keeper        *keeper
	kept, outside *place
	steps         *steps
	now           time.Time
}

func newVault(t *testing.T) *vault {
	v := &vault{World: projectiontest.NewWorld(), tree: transparency.New(), steps: &steps{}, now: time.UnixMicro(1_772_366_415_000_000).UTC()}
	v.keeper, v.kept, v.outside = newKeeper(v.steps), &place{steps: v.steps}, &place{steps: v.steps}
	v.record(t, 3)
	v.running = projectiontest.Start(t, v.World, t.TempDir(), v.tree)
	v.running.CaughtUp(t)
	return v
}

func (v *vault) record(t *testing.T, n int) {
	for range n {
		e := audit.ExportCreated{Kind: "consentLog", Format: "csv", At: v.now}
		v.Record(t, "audit-202603", domain.CitizenID{}, e)
	}
	if v.running != nil {
		v.running.CaughtUp(t)
	}
}

// start is a process that publishes.
func (v *vault) start() *transparency.Publisher {
	return v.over(v.World, v.tree)
}

func (v *vault) over(log eventstore.Store, tree *transparency.Tree) *transparency.Publisher {
	return &transparency.Publisher{
		Tree: tree, Log: log, Leaves: eventstore.DenseLeaves{}, Signer: v.keeper, Keys: v.keeper, Kept: v.kept, Outside: v.outside,
		Now: func() time.Time { v.now = v.now.Add(time.Second); return v.now }, Logger: slog.New(slog.DiscardHandler),
	}
}

func publish(t *testing.T, p *transparency.Publisher) {
	t.Helper()
	if done, err := p.Publish(t.Context()); err != nil || !done {
		t.Fatalf("published: %v, %v", done, err)
	}
}

func (v *vault) last(t *testing.T) proof.Checkpoint {
	t.Helper()
	c, err := v.start().Verify(t.Context(), v.kept.note)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// agree checks everything that was ever signed: each is the root of that many leaves of the
// log, and of two the larger was signed later.
func (v *vault) agree(t *testing.T) {
	t.Helper()
	roots := map[int64]proof.Hash{}
	var f proof.Frontier
	for _, r := range v.Recorded() {
		f.Append(proof.LeafHash(&r.Record))
		roots[f.Size()] = f.Root()
	}
	var former proof.Checkpoint
	for _, text := range v.keeper.signed {
		c, err := proof.Peek([]byte(string(text) + "\n\u2014 x AAAAAAAA\n"))
		if err != nil {
			t.Fatal(err)
		}
		if roots[c.Size] != c.Root {
			t.Fatalf("a checkpoint of %d leaves has another root than the log", c.Size)
		}
		if c.Size < former.Size || !c.Time.After(former.Time) {
			t.Fatalf("%d leaves were signed after %d", c.Size, former.Size)
		}
		former = c
	}
}

// However a process ends while it publishes, the next one goes on: both places hold the same
// last checkpoint, it covers the log, and nothing that was ever signed disagrees.
func TestCrashAtEveryStepOfPublishing(t *testing.T) {
	v := newVault(t)
	publish(t, v.start())
	crashes := 0
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			v.keeper.rotate() // so that noting the key is a step, too
			v.record(t, 2)
			*v.steps = steps{at: at, after: after}
			_, err := v.start().Publish(t.Context())
			if err == nil {
				break // there are no more steps
			}
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			crashes++
			*v.steps = steps{}
			if _, err := v.start().Publish(t.Context()); err != nil {
				t.Fatalf("after a crash at step %d: %v", at, err)
			}
			if !bytes.Equal(v.kept.note, v.outside.note) {
				t.Fatalf("after a crash at step %d the places differ", at)
			}
			if got := v.last(t).Size; got != int64(len(v.Recorded())) {
				t.Fatalf("after a crash at step %d: %d leaves are signed of %d", at, got, len(v.Recorded()))
			}
			v.agree(t)
		}
	}
	if crashes != 8 { // sign, note the key, keep outside, keep inside: before and after
		t.Fatalf("%d crash points", crashes)
	}
}

// A process that publishes in the same place learns that it was overtaken, and goes on.
func TestTwoProcessesPublish(t *testing.T) {
	v := newVault(t)
	one, other := v.start(), v.start()
	publish(t, one)
	v.record(t, 1)
	publish(t, other)
	v.record(t, 1)
	if _, err := one.Publish(t.Context()); !errors.Is(err, checkpoints.ErrOvertaken) {
		t.Fatalf("overtaken: %v", err)
	}
	publish(t, one)
	v.agree(t)
}

// A process that stops has its last events signed at once, however seldom checkpoints are signed
// otherwise and whether or not it publishes beside, and an empty log has nothing to sign.
func TestFinishSignsWhatIsLeft(t *testing.T) {
	v := newVault(t)
	p := v.start()
	var seconds atomic.Int64
	p.Every, p.Now = time.Hour, func() time.Time { return v.now.Add(time.Duration(seconds.Add(1)) * time.Second) }
	publish(t, p)
	v.record(t, 2)
	if done, err := p.Publish(t.Context()); done || err != nil {
		t.Fatalf("published within the hour: %v, %v", done, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	for range 3 {
		note, err := p.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := proof.Peek(note); err != nil || c.Size != int64(len(v.Recorded())) {
			t.Fatalf("%d events are covered of %d, %v", c.Size, len(v.Recorded()), err)
		}
		v.record(t, 1)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	v.agree(t)
	if note, err := v.over(projectiontest.NewWorld(), v.tree).Finish(t.Context()); note != nil || err != nil {
		t.Errorf("of an empty log: %q, %v", note, err)
	}
}

func TestShorterLogIsNotSigned(t *testing.T) {
	v := newVault(t)
	publish(t, v.start())
	cut := projectiontest.NewWorld()
	for _, r := range v.Recorded()[:2] {
		copyRecord(t, cut, r.Record)
	}
	tree := transparency.New()
	projectiontest.Start(t, cut, t.TempDir(), tree).CaughtUp(t)
	p := v.over(cut, tree)
	for what, err := range map[string]error{"compared": p.Compare(t.Context()), "published": second(p.Publish(t.Context()))} {
		if !errors.Is(err, transparency.ErrCut) || !strings.Contains(err.Error(), "has 3 events, the log has 2") || !strings.Contains(err.Error(), "--accept-loss") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range 5 { // and not when it grew past the checkpoint with other events
		cut.Record(t, "audit-202603", domain.CitizenID{}, audit.ExportCreated{Kind: "other", Format: "csv", At: v.now})
	}
	grown := transparency.New()
	projectiontest.Start(t, cut, t.TempDir(), grown).CaughtUp(t)
	if _, err := v.over(cut, grown).Publish(t.Context()); !errors.Is(err, transparency.ErrChanged) {
		t.Errorf("grown again: %v", err)
	}
	v.agree(t)
}

func second(_ bool, err error) error { return err }

func copyRecord(t *testing.T, to *projectiontest.World, r eventstore.Record) {
	t.Helper()
	_, err := to.Append(t.Context(), eventstore.Batch{Stream: r.Stream, Expected: eventstore.Any, Records: []eventstore.Record{r}})
	if err != nil {
		t.Fatal(err)
	}
}

// rewritten is a log whose second record somebody wrote anew, checksum and all.
type rewritten struct{ eventstore.Store }

func (l rewritten) ReadAll(ctx context.Context, after eventstore.Position, limit int) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range l.Store.ReadAll(ctx, after, limit) {
			if r.Position.Commit == 2 {
				r.Time = r.Time.Add(time.Microsecond)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// One changed record is noticed in a tree that is built of it, and beside a tree from before.
func TestChangedLogIsNotSigned(t *testing.T) {
	v := newVault(t)
	publish(t, v.start())
	changed := rewritten{v.World}
	built := transparency.New()
	projectiontest.Start(t, changed, t.TempDir(), built).CaughtUp(t)
	for name, tree := range map[string]*transparency.Tree{"tree of the changed log": built, "tree from before": v.tree} {
		p := v.over(changed, tree)
		for _, err := range []error{p.Compare(t.Context()), second(p.Publish(t.Context()))} {
			if !errors.Is(err, transparency.ErrChanged) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// numbered is an index of leaves of a store whose positions leave gaps.
type numbered struct{ eventstore.DenseLeaves }

// A record that is gone in the midst of a log whose positions leave gaps, as a scavenge takes
// it, is the index's to report, and checkpoints go on; where they leave none it is
// tampering. A record that is another one is tampering in both.
func TestWhatAScavengeTookDoesNotEndCheckpoints(t *testing.T) {
	v := newVault(t)
	publish(t, v.start())
	scavenged := faulty.New(v.World, nil)
	scavenged.SetChange(func(r *eventstore.Record) bool { return r.Position.Commit != 2 })
	p := v.over(scavenged, v.tree)
	if err := p.Compare(t.Context()); !errors.Is(err, transparency.ErrChanged) {
		t.Errorf("a dense log lacks a record: %v", err)
	}
	p.Leaves = numbered{}
	if err := p.Compare(t.Context()); err != nil {
		t.Errorf("a stream that was scavenged: %v", err)
	}
	scavenged.SetChange(func(r *eventstore.Record) bool { return r.Position.Commit < 3 })
	if err := p.Compare(t.Context()); !errors.Is(err, transparency.ErrChanged) {
		t.Errorf("the end of the log is gone: %v", err)
	}
	p = v.over(rewritten{v.World}, v.tree)
	p.Leaves = numbered{}
	if err := p.Compare(t.Context()); !errors.Is(err, transparency.ErrChanged) {
		t.Errorf("a record is another one: %v", err)
	}
}

// A checkpoint that another key signed stops publishing, wherever it lies.
func TestForeignCheckpointIsNotFollowed(t *testing.T) {
	for _, at := range []string{"inside", "outside"} {
		v := newVault(t)
		publish(t, v.start())
		foreign, err := proof.Sign(t.Context(), v.last(t), newKeeper(&steps{}))
		if err != nil {
			t.Fatal(err)
		}
		if v.kept.note = foreign; at == "outside" {
			v.kept.note, v.outside.note = nil, foreign
		}
		if _, err := v.start().Publish(t.Context()); !errors.Is(err, proof.ErrSignature) || !strings.Contains(err.Error(), "side the databases") && at == "outside" {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// After the signing key was replaced, checkpoints of both keys count.
func TestBothSigningKeysCount(t *testing.T) {
	v := newVault(t)
	p := v.start()
	publish(t, p)
	former := v.kept.note
	v.keeper.rotate()
	v.record(t, 1)
	publish(t, p)
	for _, note := range [][]byte{former, v.kept.note} {
		if _, err := p.Verify(t.Context(), note); err != nil {
			t.Error(err)
		}
	}
	publishAfterRestart := v.start()
	v.record(t, 1)
	publish(t, publishAfterRestart)
}

// A loss that was accepted begins another origin, and the former checkpoint is no more
// compared with.
func TestAcceptedLossBeginsAnotherOrigin(t *testing.T) {
	v := newVault(t)
	publish(t, v.start())
	was := v.last(t)
	cut := projectiontest.NewWorld()
	copyRecord(t, cut, v.Recorded()[0].Record)
	cut.Record(t, "audit-202603", domain.CitizenID{}, audit.LossAccepted{LogEnd: "1", SeenEnd: "3", Events: 2, Witness: audit.KeyRing, Cause: audit.MediumLost, At: v.now})
	tree := transparency.New()
	projectiontest.Start(t, cut, t.TempDir(), tree).CaughtUp(t)
	p := v.over(cut, tree)
	if err := p.Compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if note, err := p.Covered(t.Context(), 1); note != nil || err != nil {
		t.Fatalf("a checkpoint of the lost log covers an event: %q, %v", note, err)
	}
	if note, err := p.Last(t.Context()); note != nil || err != nil {
		t.Fatalf("a checkpoint of the lost log is served: %q, %v", note, err)
	}
	publish(t, p)
	if note, err := p.Covered(t.Context(), 1); note == nil || err != nil {
		t.Fatalf("%v", err)
	}
	if now := v.last(t); now.Origin != was.Origin+"/1" || now.Size != 2 {
		t.Fatalf("%s has %d leaves", now.Origin, now.Size)
	}
}

// A checkpoint waits for time or events, and is signed again when nothing happens.
func TestWhenACheckpointIsSigned(t *testing.T) {
	v := newVault(t)
	p := v.start()
	p.Every, p.Events = time.Minute, 3
	p.Now = func() time.Time { return v.now }
	expect := func(what string, want bool) {
		t.Helper()
		if done, err := p.Publish(t.Context()); err != nil || done != want {
			t.Fatalf("%s: published %v, %v", what, done, err)
		}
	}
	expect("the first", true)
	v.now = v.now.Add(time.Second)
	expect("nothing new", false)
	v.record(t, 2)
	expect("two events within the minute", false)
	v.record(t, 1)
	expect("three events", true)
	v.now = v.now.Add(transparency.Refresh)
	expect("nothing new for long", true)
	v.record(t, 1)
	v.now = v.now.Add(time.Minute)
	expect("one event after the minute", true)
	size := v.last(t).Size
	v.now = v.now.Add(-time.Second)
	v.record(t, 5)
	if _, err := p.Publish(t.Context()); err == nil || !strings.Contains(err.Error(), "behind the last checkpoint") || v.last(t).Size != size {
		t.Fatalf("the clock went back: %v", err)
	}
	v.agree(t)
	if sizes := len(v.keeper.signed); sizes != 4 {
		t.Fatalf("%d signed", sizes)
	}
}

// The age of the last checkpoint is known to whoever watches it.
func TestAgeOfTheLastCheckpoint(t *testing.T) {
	v := newVault(t)
	p := v.start()
	if _, ok, err := p.Age(t.Context()); ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	publish(t, p)
	signed := v.last(t).Time
	p.Now = func() time.Time { return signed.Add(time.Hour) }
	if age, ok, err := p.Age(t.Context()); age != time.Hour || !ok || err != nil {
		t.Fatalf("%v, %v, %v", age, ok, err)
	}
}
