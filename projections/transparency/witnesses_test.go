package transparency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/checkpoints"
	"coffre/eventstore/proof"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/eventstore/witness"
	"coffre/projections/projectiontest"
	"coffre/projections/transparency"
)

// cosigner is a real witness, asked without a network. It counts calls; before is called first,
// and its error is the answer.
type cosigner struct {
	*witness.Witness
	state  *witness.State
	path   string
	calls  int
	before func(ctx context.Context) error
}

func (c *cosigner) Add(ctx context.Context, r witness.Request) (proof.Cosignature, error) {
	c.calls++
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return proof.Cosignature{}, err
		}
	}
	return c.Witness.Add(r)
}

// watchedVault is a vault with witnesses w0, w1… and what it logs about them.
type watchedVault struct {
	*vault
	publisher *transparency.Publisher
	witnesses *transparency.Witnesses
	all       []*cosigner
	kept      *checkpoints.Cosigned
	policy    proof.Policy
	logged    *bytes.Buffer
}

func newWatchedVault(t *testing.T, n int, quorum string) *watchedVault {
	t.Helper()
	db, err := keysdb.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &watchedVault{vault: newVault(t), logged: new(bytes.Buffer)}
	if w.kept, err = checkpoints.CosignedIn(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w.publisher = w.vault.start()
	publish(t, w.publisher)
	text := ""
	for i := range n {
		c := &cosigner{path: filepath.Join(t.TempDir(), "witness.state")}
		w.all = append(w.all, c)
		w.open(t, c)
		text += fmt.Sprintf("witness w%d %s\n", i, c.Key())
	}
	if w.policy, err = proof.ParsePolicy([]byte(text + quorum)); err != nil {
		t.Fatal(err)
	}
	w.restart()
	return w
}

// open starts the process of a witness, which knows the key of this vault's log.
func (w *watchedVault) open(t *testing.T, c *cosigner) {
	t.Helper()
	if c.state != nil {
		if err := c.state.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if c.state, _, err = witness.Open(c.path, "witness.example/"+filepath.Base(filepath.Dir(c.path))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.state.Close() })
	log := proof.NamedKey{Name: w.last(t).Origin, Use: proof.SignsNotes, Public: w.keeper.key()}
	c.Witness = witness.New(c.state, []proof.NamedKey{log}, func() time.Time { return w.now }, slog.New(slog.DiscardHandler))
}

// restart is another process that asks the same witnesses.
func (w *watchedVault) restart() {
	ask := map[string]transparency.Cosigner{}
	for i, c := range w.all {
		ask[fmt.Sprint("w", i)] = c
	}
	w.witnesses = &transparency.Witnesses{
		Publisher: w.publisher, Policy: w.policy, Ask: ask, Kept: w.kept,
		Now: func() time.Time { return w.now }, Logger: slog.New(slog.NewTextHandler(w.logged, nil)),
	}
}

// next records and publishes.
func (w *watchedVault) next(t *testing.T, events int) []byte {
	t.Helper()
	w.record(t, events)
	publish(t, w.publisher)
	return w.vault.kept.note
}

// cosigned returns which witnesses are on what is served of a note.
func (w *watchedVault) cosigned(t *testing.T, note []byte) (names string) {
	t.Helper()
	served, err := w.witnesses.Cosigned(t.Context(), note)
	if err != nil {
		t.Fatal(err)
	}
	all, wrong, err := proof.Cosignatures(served, w.policy.Keys())
	if err != nil || len(wrong) > 0 || !bytes.HasPrefix(served, note) {
		t.Fatalf("%v, %v: %s", wrong, err, served)
	}
	for _, c := range all {
		names += w.policy.NameOf(c.Witness)
	}
	return names
}

func (w *watchedVault) troubles(t *testing.T) (all []transparency.Trouble) {
	t.Helper()
	status, err := w.witnesses.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		all = append(all, s.Trouble)
	}
	return all
}

func (w *watchedVault) enough(t *testing.T) (size int64) {
	t.Helper()
	note, err := w.witnesses.Enough(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if note == nil {
		return 0
	}
	c, err := w.publisher.Verify(t.Context(), note)
	if err != nil {
		t.Fatal(err)
	}
	return c.Size
}

// What is published is cosigned by every witness from where it is, across restarts of the vault,
// and served with the cosignatures.
func TestWitnessesCosignWhatIsPublished(t *testing.T) {
	w := newWatchedVault(t, 3, "group all-of-them all w0 w1 w2\nquorum all-of-them\n")
	first := w.vault.kept.note
	if w.enough(t) != 0 {
		t.Fatal("nobody has cosigned anything")
	}
	w.witnesses.Round(t.Context(), first)()
	if got := w.cosigned(t, first); got != "w0w1w2" || w.enough(t) != w.last(t).Size {
		t.Fatalf("%s cosigned, enough have %d", got, w.enough(t))
	}
	note := w.next(t, 300)
	w.witnesses.Round(t.Context(), note)()
	w.witnesses.Round(t.Context(), note)() // again: nobody is asked
	if got := w.cosigned(t, note); got != "w0w1w2" || w.cosigned(t, first) != "w0w1w2" {
		t.Fatalf("%s cosigned", got)
	}
	w.restart()
	note = w.next(t, 1)
	w.witnesses.Round(t.Context(), note)()
	if got := w.cosigned(t, note); got != "w0w1w2" || w.enough(t) != w.last(t).Size {
		t.Fatalf("after a restart %s cosigned", got)
	}
	for i, c := range w.all {
		if c.calls != 3 {
			t.Errorf("w%d was asked %d times for three checkpoints", i, c.calls)
		}
	}
	status, err := w.witnesses.Status(t.Context())
	if err != nil || len(status) != 3 {
		t.Fatal(status, err)
	}
	for _, s := range status {
		if s.Trouble != "" || !s.Last.Equal(w.last(t).Time) {
			t.Errorf("%+v", s)
		}
	}
}

// A vault that lost its bookkeeping asks a witness where it is.
func TestAWitnessIsAskedWhereItIs(t *testing.T) {
	w := newWatchedVault(t, 1, "quorum w0\n")
	if _, err := w.all[0].Add(t.Context(), witness.Request{Checkpoint: w.vault.kept.note}); err != nil {
		t.Fatal(err)
	}
	note := w.next(t, 5)
	w.witnesses.Round(t.Context(), note)()
	if got := w.cosigned(t, note); got != "w0" || w.troubles(t)[0] != "" {
		t.Fatalf("%q, %v", got, w.troubles(t))
	}
}

// A witness that does not answer holds up neither the others, where they are enough, nor what is
// published; what it cosigns late is kept.
func TestASlowWitnessStopsNothing(t *testing.T) {
	w := newWatchedVault(t, 3, "group two 2 w0 w1 w2\nquorum two\n")
	answers := make(chan struct{})
	w.all[2].before = func(ctx context.Context) error {
		select {
		case <-answers:
			return nil
		case <-ctx.Done():
			return witness.ErrAway
		}
	}
	first := w.vault.kept.note
	wait := w.witnesses.Round(t.Context(), first) // returns although one is still asked
	if got := w.cosigned(t, first); got != "w0w1" || w.enough(t) != w.last(t).Size {
		t.Fatalf("%s cosigned", got)
	}
	second := w.next(t, 2)
	w.witnesses.Round(t.Context(), second)()
	if got := w.cosigned(t, second); got != "w0w1" {
		t.Fatalf("%s cosigned the next one", got)
	}
	close(answers)
	wait()
	if got := w.cosigned(t, first); got != "w0w1w2" {
		t.Fatalf("late, %s cosigned", got)
	}
	if w.enough(t) != w.last(t).Size {
		t.Error("what came late is not the last one")
	}
	third := w.next(t, 2)
	w.witnesses.Round(t.Context(), third)()
	if got := w.cosigned(t, third); got != "w0w1w2" {
		t.Fatalf("%s cosigned", got)
	}
}

// What is wrong with a witness is told once, graver things as errors, and it is asked again
// after a rest that grows.
func TestTroublesOfWitnessesAreSeen(t *testing.T) {
	for want, answer := range map[transparency.Trouble]error{
		transparency.Away: witness.ErrAway, transparency.Strange: witness.ErrAnswer, transparency.UnknownLog: proof.ErrOrigin, transparency.UnknownKey: proof.ErrSignature,
		transparency.Disagrees: witness.ErrForked, transparency.Ahead: &witness.SizeError{Size: 1 << 40},
	} {
		w := newWatchedVault(t, 2, "quorum w0\n")
		w.all[1].before = func(context.Context) error { return answer }
		for range 3 {
			w.witnesses.Round(t.Context(), w.vault.kept.note)()
		}
		if got := w.troubles(t); got[0] != "" || got[1] != want {
			t.Errorf("%s: %v", want, got)
		}
		if w.all[1].calls != 1 {
			t.Errorf("%s: asked %d times within its rest", want, w.all[1].calls)
		}
		w.now = w.now.Add(time.Second)
		w.witnesses.Round(t.Context(), w.vault.kept.note)()
		w.now = w.now.Add(time.Second)
		w.witnesses.Round(t.Context(), w.vault.kept.note)() // the second rest is longer
		if w.all[1].calls != 2 {
			t.Errorf("%s: asked %d times", want, w.all[1].calls)
		}
		level := "level=WARN"
		if want.Grave() {
			level = "level=ERROR"
		}
		if told := w.logged.String(); strings.Count(told, "level=") != 1 || !strings.Contains(told, level) || !strings.Contains(told, "witness=w1 trouble="+string(want)) {
			t.Errorf("%s: told %s", want, told)
		}
		w.all[1].before = nil
		w.now = w.now.Add(time.Minute)
		w.witnesses.Round(t.Context(), w.vault.kept.note)()
		if got := w.troubles(t); got[1] != "" || !strings.Contains(w.logged.String(), "cosigns again") {
			t.Errorf("%s: %v after it cosigned", want, got)
		}
	}
}

// An older state that is put back at a witness is found out by the logs that it cosigned for.
func TestAWitnessThatForgotIsSeen(t *testing.T) {
	w := newWatchedVault(t, 1, "quorum w0\n")
	w.witnesses.Round(t.Context(), w.vault.kept.note)()
	old, err := os.ReadFile(w.all[0].path)
	if err != nil {
		t.Fatal(err)
	}
	note := w.next(t, 3)
	w.witnesses.Round(t.Context(), note)()
	if w.cosigned(t, note) != "w0" || w.troubles(t)[0] != "" {
		t.Fatal(w.troubles(t))
	}
	if err := os.WriteFile(w.all[0].path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open(t, w.all[0])
	for range 2 { // it cosigns, and what it did stays seen
		note = w.next(t, 1)
		w.witnesses.Round(t.Context(), note)()
		if got := w.troubles(t)[0]; got != transparency.Forgot || !got.Grave() || w.cosigned(t, note) != "w0" {
			t.Fatalf("%v", got)
		}
	}
	if told := w.logged.String(); strings.Count(told, "trouble=forgot") != 1 {
		t.Errorf("%s", told)
	}
}

// Somebody with the key of a log shows two histories to two auditors: one witness cosigns one of
// them, and tells whoever publishes the other.
func TestASecondHistoryIsNotCosigned(t *testing.T) {
	w := newWatchedVault(t, 1, "quorum w0\n")
	w.witnesses.Round(t.Context(), w.vault.kept.note)()
	shared := len(w.Recorded())
	note := w.next(t, 3)
	w.witnesses.Round(t.Context(), note)()

	forked := projectiontest.NewWorld()
	for _, r := range w.Recorded()[:shared] {
		copyRecord(t, forked, r.Record)
	}
	for range 5 {
		forked.Record(t, "audit-202603", domain.CitizenID{}, audit.ExportCreated{Kind: "other", Format: "csv", At: w.now})
	}
	tree := transparency.New()
	projectiontest.Start(t, forked, t.TempDir(), tree).CaughtUp(t)
	other := w.over(forked, tree)
	first, err := proof.Peek(note)
	if err != nil {
		t.Fatal(err)
	}
	w.vault.kept.note, w.outside.note = nil, nil // its own places
	publish(t, other)
	second := w.vault.kept.note
	if c, err := proof.Peek(second); err != nil || c.Origin != first.Origin || c.Root == first.Root {
		t.Fatalf("%v, %v", c, err)
	}
	w.publisher = other
	w.restart()
	w.witnesses.Round(t.Context(), second)()
	if got := w.cosigned(t, second); got != "" || w.troubles(t)[0] != transparency.Disagrees || w.cosigned(t, note) != "w0" {
		t.Fatalf("two histories: %q cosigned the second, %v", got, w.troubles(t))
	}
}

// Run asks for each new checkpoint by itself, and ends with its context.
func TestRunOffersCheckpoints(t *testing.T) {
	w := newWatchedVault(t, 1, "quorum w0\n")
	w.publisher.Every = 4 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 1)
	w.all[0].before = func(context.Context) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- w.witnesses.Run(ctx) }()
	<-asked
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
