package seal

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/seal/keysdb"
)

// SuppressionState tells suppressions apart for whoever reviews them.
type SuppressionState int

// The states of a suppression.
const (
	Kept      SuppressionState = iota // it has no end, and is not due for a review
	ReviewDue                         // it has no end, and was kept for as long as is kept without a review
	Ending                            // it has an end
)

// RememberedErasure is a suppression as a list shows it: of nobody in particular.
type RememberedErasure struct {
	Suppression
	ID    uuid.UUID // the same in every list; it leads to no number
	State SuppressionState
	Place int64 // in the list
}

// Suppressions returns at most limit suppressions that have not ended, in an order of their own,
// from the one after place on: -1 for the first. reviewed is the moment from which on an erasure
// needs no review yet; states and one narrow the list, and none asks for all. A damaged row is
// passed over.
func (r *Ring) Suppressions(ctx context.Context, reviewed time.Time, states []SuppressionState, one *uuid.UUID, place int64, limit int) ([]RememberedErasure, error) {
	where, args := r.inStates(reviewed, states)
	if one != nil {
		var begins [16]byte
		r.suppressionCipher().Decrypt(begins[:], one[:])
		where, args = where+` AND ssin >= ? AND ssin <= ?`, append(args, begins[:], append(begins[:], bytes.Repeat([]byte{math.MaxUint8}, 16)...))
	}
	after := beginning
	if place >= 0 {
		after = append(binary.BigEndian.AppendUint64(nil, uint64(place)<<1|1), bytes.Repeat([]byte{math.MaxUint8}, 24)...)
	}
	var all []RememberedErasure
	for {
		read := 0
		err := r.db.Each(ctx, suppressions, `ssin > ? AND `+where+` ORDER BY ssin LIMIT ?`, append(append([]any{after}, args...), limit), func(e *keysdb.Entry, damage error) error {
			of := e.Bytes("ssin")
			read, after = read+1, of
			if damage == nil && len(all) < limit {
				s := suppressionOf(e)
				all = append(all, RememberedErasure{Suppression: s, ID: r.suppressionID(of), State: s.state(reviewed), Place: int64(binary.BigEndian.Uint64(of) >> 1)})
			}
			return nil
		})
		if err != nil || read < limit || len(all) == limit {
			return all, unavailable(ctx, "list suppressions", err)
		}
	}
}

// CountSuppressions counts those in each state, damaged ones too.
func (r *Ring) CountSuppressions(ctx context.Context, reviewed time.Time) (counts map[SuppressionState]int, err error) {
	counts = map[SuppressionState]int{}
	for _, s := range []SuppressionState{Kept, ReviewDue, Ending} {
		where, args := r.inStates(reviewed, []SuppressionState{s})
		var n int
		if _, err := r.row(ctx, `SELECT count(*) FROM suppressions WHERE `+where, args, &n); err != nil {
			return nil, unavailable(ctx, "count suppressions", err)
		}
		counts[s] = n
	}
	return counts, nil
}

// inStates is the condition of a list of suppressions that have not ended.
func (r *Ring) inStates(reviewed time.Time, states []SuppressionState) (where string, args []any) {
	if len(states) == 0 {
		states = []SuppressionState{Kept, ReviewDue, Ending}
	}
	conditions := make([]string, len(states))
	for i, s := range states {
		switch s {
		case Kept:
			conditions[i], args = `until = 0 AND since >= ?`, append(args, reviewed.UnixMicro())
		case ReviewDue:
			conditions[i], args = `until = 0 AND since < ?`, append(args, reviewed.UnixMicro())
		default:
			conditions[i], args = `until > ?`, append(args, r.micros())
		}
	}
	return `(` + strings.Join(conditions, ` OR `) + `)`, args
}

// state judges a suppression that has not ended as inStates does.
func (s Suppression) state(reviewed time.Time) SuppressionState {
	switch {
	case !s.Until.IsZero():
		return Ending
	case s.Since.IsZero() || s.Since.Before(reviewed):
		return ReviewDue
	}
	return Kept
}

// suppressionID names a suppression for those who list them: the beginning of its digest,
// enciphered under a key that is none of the digest's.
func (r *Ring) suppressionID(of []byte) (id uuid.UUID) {
	r.suppressionCipher().Encrypt(id[:], of[:len(id)])
	return id
}

func (r *Ring) suppressionCipher() cipher.Block {
	k := r.deployment[PageTokenKey].MAC([]byte("suppression-id/v1\x00"))
	block, err := aes.NewCipher(k[:])
	if err != nil { // only for a key of another size
		panic(err)
	}
	return block
}
