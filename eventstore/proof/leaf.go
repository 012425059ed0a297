// Package proof turns the log into something an outsider can check: the bytes
// of a leaf, the RFC 6962 tree over the leaves, proofs in it, and signed checkpoints.
// It reads no clock and no store.
//
// Invariant: a leaf is made from our own metadata and the digests of the stored
// bytes only, never from a store's position or insertion time, so that a copy of
// the log in another store has the same leaves. docs/log-format.md specifies the
// bytes; they never change.
package proof

import (
	"crypto/sha256"
	"encoding/binary"

	"coffre/eventstore"
)

// leafFormat is the first byte of every leaf entry.
const leafFormat = 1

// Hash is a SHA-256 digest: of a leaf, or of a node of the tree.
type Hash [sha256.Size]byte

// AppendLeafEntry appends the leaf entry of r to dst (docs/log-format.md, "Leaf
// entry"). It uses the record's id, stream, revision, type and time, and the
// SHA-256 of Meta, Clear and Sealed, so that it can be recomputed when the sealed
// bytes themselves are gone and only their digest is kept.
func AppendLeafEntry(dst []byte, r *eventstore.Record) []byte {
	return appendLeafEntry(dst, r, sha256.Sum256(r.Meta))
}

func appendLeafEntry(dst []byte, r *eventstore.Record, meta Hash) []byte {
	dst = append(dst, leafFormat)
	dst = append(dst, r.ID[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Stream)))
	dst = append(dst, r.Stream...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Revision))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Type)))
	dst = append(dst, r.Type...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Time.UnixMicro()))
	dst = append(dst, meta[:]...)
	for _, part := range [][]byte{r.Clear, r.Sealed} {
		sum := sha256.Sum256(part)
		dst = append(dst, sum[:]...)
	}
	return dst
}

// LeafHash is SHA-256(0x00 || leaf entry), RFC 6962 section 2.1. Stores keep it
// beside each record as its checksum.
func LeafHash(r *eventstore.Record) Hash {
	var buf [512]byte
	return sha256.Sum256(AppendLeafEntry(append(buf[:0], 0), r))
}

// SumOf returns the leaf hash of a record as it was read: the one that its store computed for
// its own check, or where there is none LeafHash.
func SumOf(r *eventstore.Record) Hash {
	if sum := Hash(r.Sum); sum != (Hash{}) {
		return sum
	}
	return LeafHash(r)
}

// LeafHashOf is LeafHash of a record whose metadata are known by their SHA-256 only,
// as whoever reads the log from outside has it.
func LeafHashOf(r *eventstore.Record, meta Hash) Hash {
	var buf [512]byte
	return sha256.Sum256(appendLeafEntry(append(buf[:0], 0), r, meta))
}
