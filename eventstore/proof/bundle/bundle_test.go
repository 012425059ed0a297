package bundle_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
)

type signer struct{ private ed25519.PrivateKey }

func newSigner(t *testing.T) signer {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{private}
}

func (s signer) Sign(_ context.Context, message []byte) ([]byte, string, error) {
	return ed25519.Sign(s.private, message), "k", nil
}

func (s signer) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return s.public(), "k", nil
}

func (s signer) public() ed25519.PublicKey { return s.private.Public().(ed25519.PublicKey) }

// history is a log in memory, with its tree and its checkpoint, any of which a test changes.
type history struct {
	records    []eventstore.Record
	damaged    map[int]bool
	tree       []proof.Hash
	checkpoint []byte
	witnessed  []byte
	keys       []bundle.Key
	by         signer
}

var began = time.UnixMicro(1_772_366_415_000_000).UTC()

func told(t *testing.T, events int) *history {
	h := &history{by: newSigner(t), damaged: map[int]bool{}}
	for n := range events {
		r := eventstore.Record{
			ID: uuid.UUID{1, byte(n >> 8), byte(n)}, Stream: eventstore.Stream(fmt.Sprintf("document-%04d", n/3)), Revision: eventstore.Revision(n % 3),
			Type: "document.issued/1", Time: began.Add(time.Duration(n) * time.Millisecond), Meta: []byte(`{"actor":{}}`), Clear: fmt.Appendf(nil, `{"n":%d}`, n), Sealed: []byte{2, byte(n)},
		}
		h.records, h.tree = append(h.records, r), append(h.tree, proof.LeafHash(&r))
	}
	h.sign(t, began.Add(time.Hour))
	h.keys = []bundle.Key{{ID: "k", Public: h.by.public()}}
	return h
}

func (h *history) sign(t *testing.T, at time.Time) {
	var f proof.Frontier
	for _, leaf := range h.tree {
		f.Append(leaf)
	}
	note, err := proof.Sign(t.Context(), proof.Checkpoint{Origin: proof.Origin(uuid.UUID{1}, 0), Size: f.Size(), Root: f.Root(), Time: at}, h.by)
	if err != nil {
		t.Fatal(err)
	}
	h.checkpoint = note
}

func (h *history) Nodes(_ context.Context, level int, first int64, count int) ([]proof.Hash, error) {
	hashes := h.tree
	for ; level > 0; level-- {
		var above []proof.Hash
		for i := 0; i+proof.TileWidth <= len(hashes); i += proof.TileWidth {
			above = append(above, proof.Subtree(hashes[i:i+proof.TileWidth]))
		}
		hashes = above
	}
	if int(first)+count > len(hashes) {
		return nil, errors.New("not there")
	}
	return hashes[first : int(first)+count], nil
}

func (h *history) Checkpoint(context.Context) ([]byte, error)    { return h.checkpoint, nil }
func (h *history) Witnessed(context.Context) ([]byte, error)     { return h.witnessed, nil }
func (h *history) LogKeys(context.Context) ([]bundle.Key, error) { return h.keys, nil }

func (h *history) LogEvents(_ context.Context, size int64) iter.Seq2[bundle.Event, error] {
	return func(yield func(bundle.Event, error) bool) {
		for n, r := range h.records {
			e := bundle.Of(&r, int64(n))
			if e.Damaged = h.damaged[n]; int64(n) >= size || !yield(e, nil) {
				return
			}
		}
	}
}

func (h *history) write(t *testing.T, s bundle.Selection) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := bundle.Write(t.Context(), &b, h, []string{"document.issued/1"}, s, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// asItIs verifies a log without a bundle, which must find what a bundle of it shows.
func (h *history) asItIs(t *testing.T, o bundle.Options) bundle.Report {
	t.Helper()
	r, err := bundle.VerifySource(t.Context(), h, o)
	if err != nil {
		t.Fatal(err)
	}
	if other := verify(t, h.write(t, nil), o); !reflect.DeepEqual(r, other) {
		t.Errorf("as it is: %+v, as a bundle: %+v", r, other)
	}
	return r
}

func verify(t *testing.T, file []byte, o bundle.Options) bundle.Report {
	t.Helper()
	r, err := bundle.Verify(t.Context(), bytes.NewReader(file), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A log that nobody touched verifies, whole and in parts, at sizes around a tile's.
func TestWholeLogVerifies(t *testing.T) {
	for _, size := range []int{1, 2, 255, 256, 257, 1300} {
		h := told(t, size)
		file := h.write(t, nil)
		r := h.asItIs(t, bundle.Options{Keys: []ed25519.PublicKey{h.by.public()}})
		if r.Wrong != 0 || r.Incomplete != "" || r.Verified != int64(size) || r.Events != int64(size) || !r.Whole || !r.Trusted || r.Key != "k" {
			t.Fatalf("%d events: %+v", size, r)
		}
		if again := h.write(t, nil); !bytes.Equal(file, again) {
			t.Fatal("two bundles of one log differ")
		}
		part := h.write(t, func(e *bundle.Event) bool { return e.Leaf%5 == 0 })
		r = verify(t, part, bundle.Options{})
		if want := int64(size+4) / 5; r.Wrong != 0 || r.Verified != want || r.Whole || r.Trusted {
			t.Fatalf("a part of %d events: %+v", size, r)
		}
	}
}

// Each way to tamper with a log is caught and named, with the event where it is about one.
func TestTamperingIsNamed(t *testing.T) {
	const size = 600
	for name, c := range map[string]struct {
		change func(t *testing.T, h *history)
		kind   bundle.Kind
		leaf   int64
		says   string
	}{
		"one bit of the clear facts": {func(_ *testing.T, h *history) { h.records[300].Clear = []byte(`{"n":301}`) }, bundle.Altered, 300, "document.issued/1 of document-0100, revision 0"},
		"one bit of the sealed part": {func(_ *testing.T, h *history) { h.records[599].Sealed = []byte{3} }, bundle.Altered, 599, "is not what was recorded"},
		"the time":                   {func(_ *testing.T, h *history) { h.records[0].Time = began.Add(1000) }, bundle.Altered, 0, "is not what was recorded"},
		"a damaged record":           {func(_ *testing.T, h *history) { h.damaged[256] = true }, bundle.Altered, 256, "damaged, or gone"},
		"one event dropped":          {func(_ *testing.T, h *history) { h.records = slices.Delete(h.records, 255, 256) }, bundle.Dropped, 255, "leaf 255 is gone; it stood before"},
		"the first event dropped":    {func(_ *testing.T, h *history) { h.records = h.records[1:] }, bundle.Dropped, 0, "leaf 0 is gone"},
		"two swapped":                {func(_ *testing.T, h *history) { h.records[4], h.records[5] = h.records[5], h.records[4] }, bundle.Swapped, 4, "leaves 4 and 5 stand in each other's place"},
		"one inserted": {func(_ *testing.T, h *history) {
			one := h.records[7]
			one.ID = uuid.New()
			h.records = slices.Insert(h.records, 512, one)
		}, bundle.Inserted, 512, "before leaf 512 stands"},
		"the tail cut off": {func(_ *testing.T, h *history) { h.records = h.records[:590] }, bundle.Cut, 590, "leaves 590 to 599 are gone"},
		"a tile edited":    {func(_ *testing.T, h *history) { h.tree[257][0] ^= 1 }, bundle.Tile, 257, "the tree has another hash for leaf 257"},
		"log and tree rewritten together": {func(_ *testing.T, h *history) {
			h.records[9].Clear = []byte(`{"n":1}`)
			h.tree[9] = proof.LeafHash(&h.records[9])
		}, bundle.Rewritten, -1, "another root than the checkpoint of 600 events says"},
		"signed again with another key": {func(t *testing.T, h *history) {
			h.records[9].Clear = []byte(`{"n":1}`)
			h.tree[9] = proof.LeafHash(&h.records[9])
			h.by = newSigner(t)
			h.keys = []bundle.Key{{ID: "other", Public: h.by.public()}}
			h.sign(t, began.Add(time.Hour))
		}, bundle.Signature, -1, "another key than the one you trust"},
		"the checkpoint's time moved back": {func(t *testing.T, h *history) { h.sign(t, began.Add(-time.Hour)) }, bundle.Moved, -1, "covers an event that was recorded at"},
		"the time in the text alone": {func(_ *testing.T, h *history) {
			h.checkpoint = bytes.Replace(h.checkpoint, []byte("time 2026-03-01T13"), []byte("time 2026-03-01T12"), 1)
		}, bundle.Signature, -1, "another key"},
	} {
		t.Run(name, func(t *testing.T) {
			h := told(t, size)
			trusted := []ed25519.PublicKey{h.by.public()}
			c.change(t, h)
			r := h.asItIs(t, bundle.Options{Keys: trusted, Workers: 2})
			if r.Wrong != 1 || r.Findings[0].Kind != c.kind || r.Findings[0].Leaf != c.leaf || !strings.Contains(r.Findings[0].Says, c.says) {
				t.Fatalf("%+v", r.Findings)
			}
		})
	}
}

// Whoever holds a checkpoint from before finds out that the log was put back, that its time
// was moved, and that somebody else is shown another history.
func TestHeldCheckpointIsHeldAgainstTheLog(t *testing.T) {
	h := told(t, 500)
	held := [][]byte{h.checkpoint}
	trusted := bundle.Options{Keys: []ed25519.PublicKey{h.by.public()}, Former: held}
	check := func(what string, h *history, kind bundle.Kind) {
		t.Helper()
		r := h.asItIs(t, trusted)
		if kind == "" && r.Wrong != 0 || kind != "" && (r.Wrong != 1 || r.Findings[0].Kind != kind) {
			t.Errorf("%s: %+v", what, r.Findings)
		}
	}
	check("the same log", h, "")

	more := told(t, 800)
	more.by, more.keys = h.by, h.keys
	more.sign(t, began.Add(2*time.Hour))
	check("the log went on", more, "")

	yesterday := told(t, 400)
	yesterday.by, yesterday.keys = h.by, h.keys
	yesterday.sign(t, began.Add(3*time.Hour))
	check("yesterday's log", yesterday, bundle.Cut)

	other := told(t, 700)
	other.by, other.keys = h.by, h.keys
	other.records[3].Clear = []byte(`{}`)
	other.tree[3] = proof.LeafHash(&other.records[3])
	other.sign(t, began.Add(2*time.Hour))
	check("another history", other, bundle.Forked)

	more.sign(t, began.Add(30*time.Minute))
	check("a later checkpoint with an earlier time", more, bundle.Moved)
}

// A bundle that was cut off, or lacks a line, is incomplete; one that is none is an error.
func TestIncompleteBundles(t *testing.T) {
	h := told(t, 300)
	file := h.write(t, nil)
	lines := bytes.SplitAfter(file, []byte("\n"))
	for name, short := range map[string][]byte{
		"without its end":     bytes.Join(lines[:len(lines)-2], nil),
		"cut off in a line":   file[:len(file)-100],
		"half of it":          file[:len(file)/2],
		"one event taken out": bytes.Join(slices.Delete(slices.Clone(lines), 20, 21), nil),
	} {
		r, err := bundle.Verify(t.Context(), bytes.NewReader(short), bundle.Options{})
		if err != nil || r.Incomplete == "" {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"other text":      []byte("hello\n"),
		"another format":  []byte(`{"bundle":{"format":"x","origin":"y","size":1,"whole":true}}` + "\n"),
		"no header":       bytes.Join(lines[1:], nil),
		"lines behind it": append(slices.Clone(file), lines[20]...),
	} {
		if _, err := bundle.Verify(t.Context(), bytes.NewReader(bad), bundle.Options{}); !errors.Is(err, bundle.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A changed event is found in a part of the log, too, by its own proof.
func TestTamperedPartIsNamed(t *testing.T) {
	h := told(t, 300)
	file := h.write(t, func(e *bundle.Event) bool { return e.Leaf == 77 || e.Leaf == 299 })
	forged := bytes.Replace(file, []byte(`"revision":2`), []byte(`"revision":3`), 1)
	r := verify(t, forged, bundle.Options{})
	if r.Wrong != 1 || r.Findings[0].Kind != bundle.Altered || r.Verified != 1 {
		t.Fatalf("%+v", r)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"bundle":{"format":"coffre-audit-bundle/1","origin":"coffre/00000000-0000-0000-0000-000000000000","size":1,"whole":true}}` + "\n"))
	f.Add([]byte(`{"leaves":{"first":0,"hashes":"AA=="}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := bundle.Verify(t.Context(), bytes.NewReader(file), bundle.Options{Workers: 1})
		if err == nil && r.Wrong == 0 && r.Incomplete == "" {
			t.Fatal("made-up bytes verify")
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
	})
}
