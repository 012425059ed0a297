package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
)

// panel are witnesses w0, w1… and a policy that asks for two of them.
type panel struct {
	keys   []ed25519.PrivateKey
	text   string // lines of the witnesses and the quorum
	policy proof.Policy
}

func newPanel(t *testing.T, n int) *panel {
	t.Helper()
	p := &panel{}
	names := ""
	for i := range n {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		p.keys = append(p.keys, private)
		p.text += fmt.Sprintf("witness w%d %s\n", i, proof.NamedKey{Name: name(i), Use: proof.Cosigns, Public: public})
		names += fmt.Sprintf(" w%d", i)
	}
	p.text += "group two 2" + names + "\nquorum two\n"
	p.policy = p.parse(t, "")
	return p
}

func name(i int) string { return fmt.Sprintf("witness.example/%d", i) }

func (p *panel) parse(t *testing.T, more string) proof.Policy {
	t.Helper()
	policy, err := proof.ParsePolicy([]byte(more + p.text))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// cosign adds cosignatures to a note.
func (p *panel) cosign(t *testing.T, note []byte, by ...int) []byte {
	t.Helper()
	c, err := proof.Peek(note)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range by {
		note = proof.AddCosignatures(note, proof.Cosign(c.Text(), name(i), p.keys[i], c.Time.Add(time.Second)))
	}
	return note
}

// grown is a history that was cosigned at 300 events by some witnesses and grew to 600, of which
// the checkpoint was signed later by that much, and cosigned by one.
func grown(t *testing.T, p *panel, later time.Duration, by ...int) *history {
	t.Helper()
	h := told(t, 600)
	at := began.Add(time.Hour)
	whole := h.tree
	h.tree = whole[:300]
	h.sign(t, at)
	h.witnessed = p.cosign(t, h.checkpoint, by...)
	h.tree = whole
	h.sign(t, at.Add(later))
	h.checkpoint = p.cosign(t, h.checkpoint, 0)
	return h
}

// A verifier says who cosigned, and whether they are as many as its policy asks for: on the
// checkpoint itself, or on one of the same history that is not much older.
func TestPolicyOfWitnessesIsApplied(t *testing.T) {
	p := newPanel(t, 3)
	part := func(e *bundle.Event) bool { return e.Leaf%50 == 0 }
	for what, c := range map[string]struct {
		h          *history
		size       int64 // under enough cosignatures
		cosigned   int
		incomplete string
	}{
		"on an earlier one":        {grown(t, p, time.Minute, 0, 2), 300, 3, ""},
		"on one much older":        {grown(t, p, time.Hour, 0, 2), 300, 3, "covers 300 of the 600 events, and was signed 1h0m0s before"},
		"too few":                  {grown(t, p, time.Minute, 0), 0, 2, "fewer witnesses have cosigned this log than the policy asks for: w0"},
		"two on two that differ":   {grown(t, p, time.Minute, 1), 0, 2, "fewer witnesses"},
		"on the checkpoint itself": {func() *history { h := told(t, 5); h.checkpoint = p.cosign(t, h.checkpoint, 1, 2); return h }(), 5, 2, ""},
		"none":                     {told(t, 5), 0, 0, "no witness of the policy has cosigned this log"},
		"the checkpoint and before": {func() *history {
			h := grown(t, p, time.Minute, 0, 1)
			h.checkpoint = p.cosign(t, h.checkpoint, 2)
			return h
		}(), 600, 4, ""},
	} {
		for _, s := range []bundle.Selection{nil, part} {
			r := verify(t, c.h.write(t, s), bundle.Options{Policy: &p.policy, Tail: 5 * time.Minute})
			var size int64
			if r.Witnessed != nil {
				size = r.Witnessed.Size
			}
			if r.Wrong != 0 || size != c.size || len(r.Cosigned) != c.cosigned || (r.Incomplete == "") != (c.incomplete == "") || !strings.Contains(r.Incomplete, c.incomplete) || len(r.Signers) > 0 {
				t.Errorf("%s, whole %v: %+v", what, s == nil, r)
			}
		}
	}
	if r := verify(t, grown(t, p, time.Minute, 0, 2).write(t, nil), bundle.Options{Policy: &p.policy}); !strings.Contains(r.Incomplete, "covers 300 of the 600 events") {
		t.Errorf("events that no witness saw: %+v", r)
	}
	r := verify(t, grown(t, p, time.Hour, 0, 2).write(t, nil), bundle.Options{})
	if r.Incomplete != "" || r.Wrong != 0 || len(r.Cosigned) != 0 || strings.Join(r.Signers, " ") != "witness.example/0 witness.example/2" {
		t.Errorf("without a policy: %+v", r)
	}
}

// A checkpoint with cosignatures that an auditor holds counts for the log that it is of.
func TestHeldCosignaturesCount(t *testing.T) {
	p := newPanel(t, 2)
	h := told(t, 40)
	held := p.cosign(t, h.checkpoint, 0, 1)
	file := h.write(t, nil)
	if r := verify(t, file, bundle.Options{Policy: &p.policy, Former: [][]byte{held}}); r.Incomplete != "" || r.Wrong != 0 || r.Witnessed == nil {
		t.Errorf("%+v", r)
	}
	if r := verify(t, file, bundle.Options{Policy: &p.policy}); r.Incomplete == "" {
		t.Errorf("%+v", r)
	}
}

// What a witness cosigned and the log disagree, a cosignature that nobody made, a log that the
// policy does not know: each is tampering.
func TestCosignedDisagreementIsNamed(t *testing.T) {
	p := newPanel(t, 2)
	forked := func() *history {
		h := grown(t, p, time.Minute, 0, 1)
		h.records[10].Clear = []byte(`{"n":"other"}`)
		h.tree[10] = proof.LeafHash(&h.records[10])
		h.sign(t, began.Add(2*time.Hour))
		return h
	}()
	part := func(e *bundle.Event) bool { return e.Leaf%50 == 0 }
	for _, s := range []bundle.Selection{nil, part} {
		r := verify(t, forked.write(t, s), bundle.Options{Policy: &p.policy})
		if r.Wrong != 1 || r.Findings[0].Kind != bundle.Forked || r.Witnessed != nil {
			t.Errorf("another history than witnesses saw, whole %v: %+v", s == nil, r)
		}
	}
	h := told(t, 5)
	c, err := proof.Peek(h.checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	c.Size++
	h.checkpoint = proof.AddCosignatures(h.checkpoint, proof.Cosign(c.Text(), name(0), p.keys[0], c.Time))
	if r := verify(t, h.write(t, nil), bundle.Options{Policy: &p.policy}); r.Wrong != 1 || r.Findings[0].Kind != bundle.Signature || !strings.Contains(r.Findings[0].Says, "the cosignature of w0") {
		t.Errorf("a cosignature of something else: %+v", r)
	}
	h = grown(t, p, time.Minute, 0, 1)
	h.keys = []bundle.Key{{ID: "other", Public: newSigner(t).public()}, h.keys[0]}
	other := p.parse(t, "log "+proof.NamedKey{Name: proof.Origin([16]byte{1}, 0), Use: proof.SignsNotes, Public: h.keys[0].Public}.String()+"\n")
	if r := verify(t, h.write(t, nil), bundle.Options{Policy: &other}); r.Wrong != 2 || r.Findings[0].Kind != bundle.Signature {
		t.Errorf("another key than the policy says: %+v", r)
	}
	mine := p.parse(t, "log "+proof.NamedKey{Name: proof.Origin([16]byte{1}, 0), Use: proof.SignsNotes, Public: h.by.public()}.String()+"\n")
	if r := verify(t, h.write(t, nil), bundle.Options{Policy: &mine, Tail: time.Hour}); r.Wrong != 0 || !r.Trusted || r.Incomplete != "" {
		t.Errorf("the key of the policy: %+v", r)
	}
	strange := p.parse(t, "log "+proof.NamedKey{Name: "log.example", Use: proof.SignsNotes, Public: h.by.public()}.String()+"\n")
	if r := verify(t, h.write(t, nil), bundle.Options{Policy: &strange}); r.Wrong != 1 || !strings.Contains(r.Findings[0].Says, "the policy knows no log") {
		t.Errorf("no log of the policy: %+v", r)
	}
}

// The line of the witnessed checkpoint stands in one place, and is of the log that it is in.
func TestWitnessedLineIsHeldToItsForm(t *testing.T) {
	p := newPanel(t, 2)
	h := grown(t, p, time.Minute, 0, 1)
	lines := bytes.SplitAfter(h.write(t, nil), []byte("\n"))
	at := -1
	for i, l := range lines {
		if bytes.HasPrefix(l, []byte(`{"witnessed":`)) {
			at = i
		}
	}
	if at < 0 || !bytes.HasPrefix(lines[at-1], []byte(`{"checkpoint":`)) {
		t.Fatal("no such line behind the checkpoint")
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	before, line, after := join(lines[:at]...), lines[at], join(lines[at+1:]...)
	for what, file := range map[string][]byte{
		"twice":                 join(before, line, line, after),
		"before the checkpoint": join(join(lines[:at-1]...), line, lines[at-1], after),
		"behind the events":     join(before, join(lines[at+1:len(lines)-2]...), line, join(lines[len(lines)-2:]...)),
		"a proof cut short":     join(before, []byte(`{"witnessed":{"checkpoint":"x","proof":"AAAA"}}`+"\n"), after),
		"no checkpoint":         join(before, []byte(`{"witnessed":{"checkpoint":"x"}}`+"\n"), after),
	} {
		if r, err := bundle.Verify(t.Context(), bytes.NewReader(file), bundle.Options{Policy: &p.policy}); !errors.Is(err, bundle.ErrFormat) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
	if note, err := bundle.CheckpointIn(bytes.NewReader(join(before, line, after))); err != nil || !bytes.Equal(note, h.checkpoint) {
		t.Errorf("the bundle's checkpoint is the later one: %v", err)
	}
}
