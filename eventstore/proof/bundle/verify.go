package bundle

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"coffre/eventstore/proof"
)

// ErrFormat: what was read is no bundle.
var ErrFormat = errors.New("bundle: this is no bundle of " + Format)

// Report is what a verification found.
type Report struct {
	Origin   string    `json:"origin"`
	Size     int64     `json:"size"` // events that the checkpoint covers
	Root     string    `json:"root"` // base64
	Signed   time.Time `json:"signed"`
	Key      string    `json:"key,omitempty"` // id of the key that signed
	Trusted  bool      `json:"trusted"`       // the caller named the key; else the bundle did
	Whole    bool      `json:"whole"`
	Events   int64     `json:"events"` // met
	Verified int64     `json:"verified"`
	// After counts the events that follow the checkpoint where they can be seen, which
	// nothing proves.
	After int64 `json:"after,omitempty"`
	// Findings are the first of what is wrong, Wrong is how many there are.
	Findings []Finding `json:"findings"`
	Wrong    int64     `json:"wrong"`
	// Cosigned are the verified cosignatures of the policy's witnesses, Signers the names of others
	// in the signature lines, which nobody verified.
	Cosigned []Cosigned `json:"cosigned,omitempty"`
	Signers  []string   `json:"signers,omitempty"`
	// Witnessed is the last checkpoint with as many cosignatures as the policy asks for; nil
	// without a policy that asks for any, or when there is none.
	Witnessed *Covered `json:"witnessed,omitempty"`
	// Incomplete says what is missing, "" when nothing is.
	Incomplete string `json:"incomplete,omitempty"`
}

// Cosigned says that a witness cosigned a checkpoint of the log.
type Cosigned struct {
	Witness string    `json:"witness"` // in the policy
	Name    string    `json:"name"`    // of its key
	At      time.Time `json:"at"`
	Covered
}

// Covered says what a checkpoint covers, and when it was signed.
type Covered struct {
	Size   int64     `json:"size"`
	Signed time.Time `json:"signed"`
}

// maxFindings bounds what a report holds.
const maxFindings = 100

// Add adds a finding; of many the first are kept, and all are counted.
func (r *Report) Add(f Finding) {
	if r.Wrong++; len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// Options of a verification.
type Options struct {
	// Keys are the public keys that count; none: those that the bundle brings.
	Keys []ed25519.PublicKey
	// Policy says which logs count beside Keys, and which witnesses have to have cosigned; nil:
	// none.
	Policy *proof.Policy
	// Tail is how long before the log's own checkpoint the last one with enough cosignatures
	// may be signed where it covers fewer events; 0: it covers all.
	Tail time.Duration
	// Former are checkpoints that the caller holds from before, or from elsewhere.
	Former [][]byte
	// Each is called for every event, in order; nil: nobody asks.
	Each func(*Event) error
	// Told is called with the bytes read since the last call; nil: nobody asks.
	Told func(bytes int64)
	// Workers compute leaf hashes; 0: one for each processor.
	Workers int
}

const (
	maxLine     = 4 << 20 // more than an event of the largest size in base64
	chunkLines  = 256
	chunkBytes  = 1 << 20
	clockSpread = time.Minute // clocks of processes may differ
)

// chunk is a stretch of a bundle's lines, parsed and hashed by one worker.
type chunk struct {
	text  [][]byte // of lines that are still to be parsed
	lines []line
	hash  []proof.Hash
	err   error
	done  chan struct{}
}

func newChunk() *chunk { return &chunk{done: make(chan struct{})} }

func (c *chunk) work() {
	defer close(c.done)
	for _, text := range c.text {
		var l line
		if c.err = json.Unmarshal(text, &l); c.err != nil {
			c.err = ErrFormat // the decoder's error may quote the line
			return
		}
		c.lines = append(c.lines, l)
	}
	c.hash = make([]proof.Hash, len(c.lines))
	for i := range c.lines {
		if e := c.lines[i].Event; e != nil && !e.Damaged {
			if len(e.Stream) > 1<<16-1 || len(e.Type) > 1<<16-1 {
				c.err = ErrFormat
				return
			}
			c.hash[i] = e.LeafHash()
		}
	}
	c.text = nil
}

// Verify reads a bundle and recomputes all of it: every leaf hash, the root at every
// checkpoint, every proof. It holds a bounded part of the bundle at a time. The error says
// that the bundle cannot be read, or is Each's; what is wrong with the log is in the report.
func Verify(ctx context.Context, r io.Reader, o Options) (Report, error) {
	return verify(ctx, o, func(ctx context.Context, hand func(*chunk) bool) error {
		return split(ctx, r, o.Told, hand)
	})
}

// VerifySource verifies a log as it is: what a whole bundle of it would hold. Options.Told is
// called with the number of lines, of which nearly all are events.
func VerifySource(ctx context.Context, from Source, o Options) (Report, error) {
	return verify(ctx, o, func(ctx context.Context, hand func(*chunk) bool) error {
		c := newChunk()
		size := 0
		_, err := lines(ctx, from, nil, nil, nil, func(l line) error {
			c.lines = append(c.lines, l)
			if e := l.Event; e != nil {
				size += len(e.Meta) + len(e.Clear) + len(e.Sealed)
			}
			if len(c.lines) < chunkLines && size < chunkBytes {
				return nil
			}
			if o.Told != nil {
				o.Told(int64(len(c.lines)))
			}
			full := c
			c, size = newChunk(), 0
			c.lines = make([]line, 0, chunkLines)
			if !hand(full) {
				return context.Canceled
			}
			return nil
		})
		if err == nil && o.Told != nil {
			o.Told(int64(len(c.lines)))
		}
		if err == nil {
			hand(c)
		}
		return err
	})
}

// verify judges the lines that read hands on in stretches, each parsed and hashed by one of
// the workers. It returns when read has.
func verify(ctx context.Context, o Options, read func(ctx context.Context, hand func(*chunk) bool) error) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	todo, order := make(chan *chunk), make(chan *chunk, 2*o.Workers)
	for range o.Workers {
		go func() {
			for c := range todo {
				c.work()
			}
		}()
	}
	var readErr error
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		defer close(order)
		defer close(todo)
		readErr = read(ctx, func(c *chunk) bool {
			select {
			case order <- c:
			case <-ctx.Done():
				return false
			}
			select {
			case todo <- c:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	v := verification{o: o, report: Report{Findings: []Finding{}}}
	v.compared.report = v.report.Add
	for c := range order {
		select {
		case <-c.done:
		case <-ctx.Done():
			return v.report, ctx.Err()
		}
		if c.err != nil {
			return v.report, c.err
		}
		for i := range c.lines {
			if err := v.line(&c.lines[i], c.hash[i]); err != nil {
				return v.report, err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return v.report, err
	}
	if readErr != nil {
		return v.report, readErr
	}
	return v.finish()
}

// split reads lines and hands them on in stretches.
func split(ctx context.Context, r io.Reader, told func(int64), hand func(*chunk) bool) error {
	lines := bufio.NewReaderSize(r, 1<<18)
	c := newChunk()
	size := 0
	for ctx.Err() == nil {
		text, err := readLine(lines)
		if len(text) > 0 {
			c.text = append(c.text, text)
			size += len(text) + 1
		}
		if err != nil || len(c.text) == chunkLines || size >= chunkBytes {
			if told != nil {
				told(int64(size))
			}
			if len(c.text) > 0 && !hand(c) {
				return nil
			}
			c, size = newChunk(), 0
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readLine returns the next line without its end; io.EOF comes with the last one, if the
// bundle was cut off within it.
func readLine(r *bufio.Reader) (text []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case err == nil:
			return text[:len(text)-1], nil
		case errors.Is(err, bufio.ErrBufferFull) && len(text) <= maxLine:
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, ErrFormat
		case errors.Is(err, io.EOF):
			if json.Valid(text) {
				return text, io.EOF
			}
			return nil, io.EOF // half a line: the end is missing
		default:
			return nil, fmt.Errorf("read the bundle: %w", err)
		}
	}
}

// verification is one run over a bundle.
type verification struct {
	o      Options
	report Report

	header     *Header
	keys       []Key
	note       []byte
	witnessed  *witnessed
	checkpoint proof.Checkpoint
	former     []former // of the same origin, that this log must begin with
	opened     bool
	ended      bool

	compared comparison
	tree     proof.Frontier
	events   proof.Frontier // the same over the events as they were met
	leaf     int64          // of the last event; -1 before the first
	latest   int64          // recorded time of the newest event that is covered, microseconds
}

func (v *verification) line(l *line, hash proof.Hash) error {
	if v.ended || (v.header == nil) != (l.Bundle != nil) {
		return ErrFormat
	}
	switch {
	case l.Bundle != nil:
		if v.header = l.Bundle; l.Bundle.Format != Format {
			return ErrFormat
		}
		v.leaf = -1
		v.report.Origin, v.report.Size, v.report.Whole = v.header.Origin, v.header.Size, v.header.Whole
	case l.Key != nil:
		v.keys = append(v.keys, *l.Key)
	case l.Checkpoint != "":
		v.note = []byte(l.Checkpoint)
	case l.Witnessed != nil:
		if v.note == nil || v.opened || v.witnessed != nil {
			return ErrFormat
		}
		v.witnessed = l.Witnessed
	case l.Type != "":
	case l.Leaves != nil:
		return v.hashes(l.Leaves)
	case l.Event != nil:
		return v.event(l.Event, hash)
	case l.End != nil:
		v.ended = true
		if l.End.Events != v.report.Events {
			v.report.Incomplete = fmt.Sprintf("the bundle says that it holds %d events, and holds %d", l.End.Events, v.report.Events)
		}
	default:
		return ErrFormat
	}
	return nil
}

// open judges the checkpoint before the first event.
func (v *verification) open() error {
	if v.opened {
		return nil
	}
	v.opened = true
	if v.note == nil {
		return ErrFormat
	}
	c, err := proof.Peek(v.note)
	if err != nil {
		return err
	}
	v.checkpoint = c
	if c.Origin != v.header.Origin || c.Size != v.header.Size {
		return ErrFormat
	}
	v.report.Signed, v.report.Root = c.Time, fmt.Sprintf("%x", c.Root[:])
	v.trust()
	v.signature()
	v.cosignatures(v.note, c)
	if err := v.openWitnessed(); err != nil {
		return err
	}
	for _, note := range v.o.Former {
		if !bytes.HasPrefix(v.note, note) { // else it is this one, before the last cosignatures came
			v.formerCheckpoint(note)
		}
	}
	return nil
}

func (v *verification) signature() {
	v.report.Trusted = len(v.o.Keys) > 0
	for _, k := range v.keys {
		counts := !v.report.Trusted
		for _, trusted := range v.o.Keys {
			counts = counts || trusted.Equal(k.Public)
		}
		if _, err := proof.Open(v.note, k.Public); err == nil && counts {
			v.report.Key = k.ID
			return
		}
	}
	if _, err := proof.Open(v.note, v.o.Keys...); err == nil {
		return
	}
	says := "the checkpoint is signed by none of the keys in the bundle"
	if v.report.Trusted {
		says = "the checkpoint is signed by another key than the one you trust"
	}
	v.report.Add(Finding{Signature, -1, "", says})
}

// formerCheckpoint takes a checkpoint that the caller holds. What it says must be what this
// log says.
func (v *verification) formerCheckpoint(note []byte) {
	c, err := proof.Open(note, v.knownKeys()...)
	now := v.checkpoint
	switch {
	case errors.Is(err, proof.ErrSignature):
		v.report.Add(Finding{Signature, -1, "", "the checkpoint that you hold is signed by another key"})
	case err != nil:
		v.report.Add(Finding{Signature, -1, "", "what you hold is no checkpoint"})
	case c.Origin != now.Origin:
		first, losses, _ := proof.SplitOrigin(c.Origin)
		id, accepted, _ := proof.SplitOrigin(now.Origin)
		if first != id || losses > accepted {
			v.report.Add(Finding{Forked, -1, "", fmt.Sprintf("the checkpoint that you hold is of %s, and this is the log %s", c.Origin, now.Origin)})
			return
		}
		v.report.Add(Finding{Cut, -1, "", fmt.Sprintf("the checkpoint that you hold is of %s; a loss was accepted since, and this log is %s", c.Origin, now.Origin)})
	case c.Size > now.Size:
		v.report.Add(Finding{Cut, now.Size, "", fmt.Sprintf("the checkpoint that you hold covers %d events, and this log ends with %d", c.Size, now.Size)})
	case c.Time.After(now.Time):
		v.report.Add(Finding{Moved, -1, "", fmt.Sprintf("the checkpoint that you hold was signed at %s, and this one, of no fewer events, says %s", c.Time.Format(time.RFC3339), now.Time.Format(time.RFC3339))})
	default:
		v.former = append(v.former, former{Checkpoint: c, note: note})
	}
}

// knownKeys are the public keys whose checkpoints count.
func (v *verification) knownKeys() []ed25519.PublicKey {
	keys := slices.Clone(v.o.Keys)
	for _, k := range v.keys {
		if !v.report.Trusted {
			keys = append(keys, k.Public)
		}
	}
	return keys
}

func (v *verification) hashes(l *leaves) error {
	if err := v.open(); err != nil {
		return err
	}
	hashes, ok := proof.Split(l.Hashes)
	if !v.header.Whole || l.First != v.tree.Size() || len(hashes) == 0 || !ok {
		return ErrFormat
	}
	for _, hash := range hashes {
		v.compared.leaves(hash)
		v.tree.Append(hash)
		v.judgeFormer(&v.tree)
	}
	return nil
}

// former is a checkpoint that the caller holds.
type former struct {
	proof.Checkpoint
	note []byte
	fits bool // the tree, or the events, have its root at its size
}

// judgeFormer compares what was met so far with the checkpoints of that size. A tree that was
// edited beside events that fit is no other history, nor are edited events beside a tree.
func (v *verification) judgeFormer(met *proof.Frontier) {
	for i := range v.former {
		if c := &v.former[i]; c.Size == met.Size() && c.Root == met.Root() {
			c.fits = true
		}
	}
}

func (v *verification) event(e *Event, hash proof.Hash) error {
	if err := v.open(); err != nil {
		return err
	}
	if e.Leaf <= v.leaf || e.Leaf < 0 {
		return fmt.Errorf("%w: its events are not in their order", ErrFormat)
	}
	if v.leaf = e.Leaf; v.header.Whole && e.Leaf != v.report.Events {
		// A line was taken out of the bundle: the comparison names it.
		v.report.Incomplete = fmt.Sprintf("the bundle lacks event %d", v.report.Events)
	}
	v.report.Events++
	if v.latest = max(v.latest, e.Time); v.o.Each != nil {
		if err := v.o.Each(e); err != nil {
			return err
		}
	}
	one := content{leaf: e.Leaf, hash: hash, stream: e.Stream, revision: e.Revision, typ: e.Type, damaged: e.Damaged}
	if v.header.Whole {
		v.events.Append(hash)
		v.judgeFormer(&v.events)
		v.compared.event(one)
		return nil
	}
	path, ok := proof.Split(e.Proof)
	if e.Damaged || !ok || proof.CheckInclusion(path, v.checkpoint.Size, v.checkpoint.Root, e.Leaf, hash) != nil {
		v.report.Add(Finding{Altered, e.Leaf, e.Stream, fmt.Sprintf("leaf %d, %s, is not what was recorded there", e.Leaf, one.name())})
		return nil
	}
	v.report.Verified++
	return nil
}

func (v *verification) finish() (Report, error) {
	if v.header == nil {
		return v.report, ErrFormat
	}
	if err := v.open(); err != nil {
		return v.report, err
	}
	v.conclude()
	v.judgeQuorum()
	return v.report, nil
}

// conclude judges what only shows when all was read.
func (v *verification) conclude() {
	if !v.ended {
		v.report.Incomplete = "the bundle was cut off: its last line is missing"
	}
	whole := v.report.Incomplete == ""
	if v.header.Whole && whole {
		v.compared.finish()
		v.report.Verified = v.compared.matched
		v.root()
		for _, c := range v.former {
			if !c.fits && c.Size > 0 {
				v.report.Add(Finding{Forked, -1, "", fmt.Sprintf("the first %d events have another root than the checkpoint that you hold says: two histories of one log", c.Size)})
			}
		}
		for _, c := range v.former {
			if c.fits {
				v.cosignatures(c.note, c.Checkpoint)
			}
		}
	} else if v.header.Whole {
		v.compared.step(0)
		v.report.Verified = v.compared.matched
	}
	if at := time.UnixMicro(v.latest).UTC(); v.latest > 0 && at.After(v.checkpoint.Time.Add(clockSpread)) {
		v.report.Add(Finding{Moved, -1, "", fmt.Sprintf("the checkpoint says that it was signed at %s, and covers an event that was recorded at %s", v.checkpoint.Time.Format(time.RFC3339), at.Format(time.RFC3339))})
	}
}

// root compares the whole tree with what was signed.
func (v *verification) root() {
	if v.tree.Root() != v.checkpoint.Root && v.events.Size() == v.checkpoint.Size && v.events.Root() == v.checkpoint.Root {
		for i := range v.report.Findings {
			if f := &v.report.Findings[i]; f.Leaf >= 0 {
				*f = Finding{Tile, f.Leaf, "", fmt.Sprintf("the tree has another hash for leaf %d than its event, which is what was signed", f.Leaf)}
			}
		}
		v.report.Verified = v.events.Size()
		return
	}
	switch {
	case v.tree.Size() < v.checkpoint.Size:
		v.report.Add(Finding{Cut, v.tree.Size(), "", fmt.Sprintf("the checkpoint covers %d events, and the tree ends with %d", v.checkpoint.Size, v.tree.Size())})
	case v.tree.Root() != v.checkpoint.Root:
		v.report.Add(Finding{Rewritten, -1, "", fmt.Sprintf("the leaves have another root than the checkpoint of %d events says: the tree was changed after it was signed", v.checkpoint.Size)})
	}
}
