// Package witnesstest has a log of any origin, whose checkpoints witnesses are asked to cosign
// in tests.
package witnesstest

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"

	"coffre/eventstore/proof"
	"coffre/eventstore/witness"
)

// Log is a log in memory. It grows by itself: leaf n of a history is the same wherever it is
// asked for, and two histories differ from the leaf on at which they part.
type Log struct {
	Key     proof.NamedKey
	private ed25519.PrivateKey
	parts   int64 // leaf from which this history is another one
}

// New returns a log with a new key.
func New(t *testing.T, origin string) *Log {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Log{proof.NamedKey{Name: origin, Use: proof.SignsNotes, Public: public}, private, 1 << 62}
}

// Fork returns another history of the log, under its key, that parts at a leaf.
func (l *Log) Fork(leaf int64) *Log {
	return &Log{l.Key, l.private, leaf}
}

// Rotated returns the same history under another key.
func (l *Log) Rotated(t *testing.T) *Log {
	other := New(t, l.Key.Name)
	other.parts = l.parts
	return other
}

func (l *Log) leaf(n int64) (h proof.Hash) {
	binary.BigEndian.PutUint64(h[:], uint64(n))
	if n >= l.parts {
		h[31] = 1
	}
	return h
}

// Nodes implements proof.Nodes.
func (l *Log) Nodes(ctx context.Context, level int, first int64, count int) (all []proof.Hash, err error) {
	for n := first; n < first+int64(count); n++ {
		if level == 0 {
			all = append(all, l.leaf(n))
			continue
		}
		below, err := l.Nodes(ctx, level-1, n*proof.TileWidth, proof.TileWidth)
		if err != nil {
			return nil, err
		}
		all = append(all, proof.Subtree(below))
	}
	return all, nil
}

// Checkpoint returns the signed checkpoint of that many leaves. Lines are those that the log
// adds behind the root.
func (l *Log) Checkpoint(t *testing.T, size int64, lines ...string) []byte {
	t.Helper()
	root, err := proof.Root(t.Context(), l, size)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Key.Name, size, base64.StdEncoding.EncodeToString(root[:]))
	for _, line := range lines {
		text += line + "\n"
	}
	blob := append(binary.BigEndian.AppendUint32(nil, l.Key.Hash()), ed25519.Sign(l.private, []byte(text))...)
	return []byte(text + "\n\u2014 " + l.Key.Name + " " + base64.StdEncoding.EncodeToString(blob) + "\n")
}

// Request returns what the log submits to have that many leaves cosigned by a witness that
// cosigned old last.
func (l *Log) Request(t *testing.T, old, size int64) witness.Request {
	t.Helper()
	r := witness.Request{Old: old, Checkpoint: l.Checkpoint(t, size)}
	if old > 0 && old < size {
		path, err := proof.ProveConsistency(t.Context(), l, old, size)
		if err != nil {
			t.Fatal(err)
		}
		r.Proof = path
	}
	return r
}
