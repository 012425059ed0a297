// Package bundle writes and verifies what an auditor takes home: the events of a log, the
// hashes of its tree, the checkpoint over them and the public keys, in one file of JSON
// Lines that docs/log-format.md specifies. It needs no vault, no network and no secret key.
//
// Invariant: the same events under the same checkpoint make the same bytes, and nothing in
// them is personal but what the log has sealed.
package bundle

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/proof"
)

// Format is the first member of every bundle.
const Format = "coffre-audit-bundle/1"

// line is one line of a bundle: exactly one member is there.
type line struct {
	Bundle     *Header    `json:"bundle,omitempty"`
	Key        *Key       `json:"key,omitempty"`
	Checkpoint string     `json:"checkpoint,omitempty"`
	Witnessed  *witnessed `json:"witnessed,omitempty"`
	Type       string     `json:"eventType,omitempty"`
	Leaves     *leaves    `json:"leaves,omitempty"`
	Event      *Event     `json:"event,omitempty"`
	End        *end       `json:"end,omitempty"`
}

// Header begins a bundle.
type Header struct {
	Format string `json:"format"`
	Origin string `json:"origin"` // of the checkpoint
	Size   int64  `json:"size"`   // events that the checkpoint covers
	Whole  bool   `json:"whole"`  // all of them are in the bundle; else each has its proof
}

// Key is a public key that signed checkpoints of the log.
type Key struct {
	ID     string            `json:"id"`
	Public ed25519.PublicKey `json:"public"`
}

// witnessed is the last checkpoint with as many cosignatures as the vault's policy asks for,
// where that is an earlier one than the bundle's.
type witnessed struct {
	Checkpoint string `json:"checkpoint"`
	Proof      []byte `json:"proof,omitempty"` // that the bundle's begins with it, 32 bytes for each step
}

// leaves are leaf hashes of the tree, one after the other, before their events.
type leaves struct {
	First  int64  `json:"first"`
	Hashes []byte `json:"hashes"`
}

// Event is one event of the log, with all that its leaf hash is made of.
type Event struct {
	Leaf     int64     `json:"leaf"`
	ID       uuid.UUID `json:"id"`
	Stream   string    `json:"stream"`
	Revision int64     `json:"revision"`
	Type     string    `json:"type"` // with its form
	Time     int64     `json:"time"` // microseconds since 1970-01-01T00:00:00Z
	Meta     []byte    `json:"meta"`
	Clear    []byte    `json:"clear,omitempty"`
	Sealed   []byte    `json:"sealed,omitempty"`
	// Damaged says that the store no longer has what it recorded there.
	Damaged bool `json:"damaged,omitempty"`
	// Proof leads to the root, 32 bytes for each step; in a bundle that is not whole.
	Proof []byte `json:"proof,omitempty"`

	sum proof.Hash // zero, or the leaf hash that the store computed of all this
}

// LeafHash returns the leaf hash of what the event says.
func (e *Event) LeafHash() proof.Hash {
	if e.sum != (proof.Hash{}) {
		return e.sum
	}
	r := e.Record()
	return proof.LeafHash(&r)
}

// Record returns the record of the event.
func (e *Event) Record() eventstore.Record {
	return eventstore.Record{
		Stream: eventstore.Stream(e.Stream), Revision: eventstore.Revision(e.Revision), ID: e.ID, Type: e.Type,
		Time: time.UnixMicro(e.Time).UTC(), Meta: e.Meta, Clear: e.Clear, Sealed: e.Sealed,
	}
}

// Of returns a record as an event of the log. What is in the event is not changed afterwards.
func Of(r *eventstore.Record, leaf int64) Event {
	return Event{
		Leaf: leaf, ID: r.ID, Stream: string(r.Stream), Revision: int64(r.Revision), Type: r.Type,
		Time: r.Time.UnixMicro(), Meta: r.Meta, Clear: r.Clear, Sealed: r.Sealed,
		sum: r.Sum,
	}
}

type end struct {
	Events int64 `json:"events"`
}

// Source is the port to a log that a bundle is made of.
type Source interface {
	proof.Nodes
	// Witnessed returns the last checkpoint with as many cosignatures as the vault's policy
	// asks for, nil when there is none. It is called before Checkpoint.
	Witnessed(ctx context.Context) ([]byte, error)
	// Checkpoint returns the last checkpoint, with the cosignatures on it.
	Checkpoint(ctx context.Context) ([]byte, error)
	// LogKeys returns every public key that signed the log.
	LogKeys(ctx context.Context) ([]Key, error)
	// LogEvents yields the first size events in their order, and fewer when the log has fewer. A
	// damaged one is yielded as such.
	LogEvents(ctx context.Context, size int64) iter.Seq2[Event, error]
}

// Selection says which events a bundle holds; nil: all.
type Selection func(*Event) bool

// ErrNoCheckpoint: nothing was signed yet.
var ErrNoCheckpoint = errors.New("bundle: the log has no checkpoint yet")

// Write writes a bundle of the events that the last checkpoint covers, and returns how many
// it holds. told is called for every event that is read.
func Write(ctx context.Context, w io.Writer, from Source, types []string, selection Selection, told func()) (events int64, err error) {
	buffered := bufio.NewWriterSize(w, 1<<18)
	encode := json.NewEncoder(buffered)
	encode.SetEscapeHTML(false)
	events, err = lines(ctx, from, types, selection, told, func(l line) error { return encode.Encode(l) })
	if err == nil {
		err = buffered.Flush()
	}
	return events, err
}

// eventsTogether are how many events lines allocates at once.
const eventsTogether = 64

// lines makes the lines of a bundle, in their order.
func lines(ctx context.Context, from Source, types []string, selection Selection, told func(), put func(line) error) (events int64, err error) {
	enough, err := from.Witnessed(ctx)
	if err != nil {
		return 0, err
	}
	note, err := from.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	if note == nil {
		return 0, ErrNoCheckpoint
	}
	c, err := proof.Peek(note)
	if err != nil {
		return 0, err
	}
	keys, err := from.LogKeys(ctx)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(keys, func(a, b Key) int { return slices.Compare(a.Public, b.Public) })
	head := []line{{Bundle: &Header{Format: Format, Origin: c.Origin, Size: c.Size, Whole: selection == nil}}}
	for _, k := range keys {
		head = append(head, line{Key: &k})
	}
	head = append(head, line{Checkpoint: string(note)})
	former, err := earlier(ctx, from, enough, c)
	if err != nil {
		return 0, err
	}
	if former != nil {
		head = append(head, line{Witnessed: former})
	}
	for _, t := range slices.Sorted(slices.Values(types)) {
		head = append(head, line{Type: t})
	}
	for _, l := range head {
		if err := put(l); err != nil {
			return 0, err
		}
	}
	next := int64(0) // leaf of the first tile that is not put yet
	tiles := func(until int64) error {
		for ; selection == nil && next <= until && next < c.Size; next += proof.TileWidth {
			hashes, err := from.Nodes(ctx, 0, next, int(min(c.Size-next, proof.TileWidth)))
			if err == nil {
				err = put(line{Leaves: &leaves{First: next, Hashes: proof.Join(hashes)}})
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	var together []Event // one allocation for many: each is put by its address
	for met, err := range from.LogEvents(ctx, c.Size) {
		if err != nil {
			return events, err
		}
		if len(together) == cap(together) {
			together = make([]Event, 0, eventsTogether)
		}
		together = append(together, met)
		e := &together[len(together)-1]
		if told != nil {
			told()
		}
		if selection != nil {
			if !selection(e) {
				continue
			}
			path, err := proof.ProveInclusion(ctx, from, e.Leaf, c.Size)
			if err != nil {
				return events, err
			}
			e.Proof = proof.Join(path)
		}
		if err := tiles(e.Leaf); err != nil {
			return events, err
		}
		if err := put(line{Event: e}); err != nil {
			return events, err
		}
		events++
	}
	if err := tiles(c.Size); err != nil {
		return events, err
	}
	return events, put(line{End: &end{Events: events}})
}

// earlier returns a checkpoint with enough cosignatures, and what leads from it to c; nil when
// there is none, or c is no later one of the same log.
func earlier(ctx context.Context, from Source, enough []byte, c proof.Checkpoint) (*witnessed, error) {
	if enough == nil {
		return nil, nil
	}
	former, err := proof.Peek(enough)
	if err != nil {
		return nil, err
	}
	if former.Origin != c.Origin || !former.Time.Before(c.Time) || former.Size < 1 || former.Size > c.Size {
		return nil, nil
	}
	path, err := proof.ProveConsistency(ctx, from, former.Size, c.Size)
	if err != nil {
		return nil, err
	}
	return &witnessed{string(enough), proof.Join(path)}, nil
}

// CheckpointIn returns the checkpoint that a reader holds: a signed note by itself, or the one
// of a bundle.
func CheckpointIn(r io.Reader) ([]byte, error) {
	lines := bufio.NewReaderSize(io.LimitReader(r, 1<<20), 1<<16)
	if first, err := lines.Peek(1); err != nil || first[0] != '{' {
		note, err := io.ReadAll(io.LimitReader(lines, proof.MaxCheckpoint+1))
		if err != nil {
			return nil, err
		}
		_, err = proof.Peek(note)
		return note, err
	}
	for {
		text, err := readLine(lines)
		if err != nil {
			return nil, ErrFormat
		}
		var l line
		if json.Unmarshal(text, &l) != nil || l.Event != nil || l.Leaves != nil {
			return nil, ErrFormat
		}
		if l.Checkpoint != "" {
			return []byte(l.Checkpoint), nil
		}
	}
}
