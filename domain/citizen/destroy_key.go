package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

// MayDestroy is asked on a fresh fold, after the leases have run out and before
// the first key is destroyed: a hold or a restriction that was being placed while the
// erasure started still stops it (rule E-1). Lifting it lets the erasure go on.
// Others are the person's other lives.
func (s State) MayDestroy(id domain.ErasureID, others ...State) error {
	e, known := s.Erasure(id)
	switch {
	case !known:
		return ErrNoErasure
	case e.Step != Started:
		return ErrNotStarted
	}
	return s.noHold(e.Scope, e.Document, others)
}

// DestroyKey records that all keys of a citizen are gone. Holds are not judged
// any more: it already happened.
type DestroyKey struct {
	Erasure    domain.ErasureID
	Keys       []string // ids of the destroyed content keys
	Unreadable int64    // events whose personal part can no longer be read
	Digest     []byte   // SHA-256 over their leaf hashes in log order
	By         domain.Actor
	At         time.Time
}

// Decide implements E-3 as far as the order of the steps.
func (c DestroyKey) Decide(s State) ([]Event, error) {
	_, due, err := s.dueForEraser(c.Erasure, c.By, eraserStep{scope: WholeCitizen, after: Started, refusal: ErrNotStarted, reaches: Done})
	if err != nil || !due {
		return nil, err
	}
	return []Event{KeyDestroyed{Citizen: s.Citizen, Erasure: c.Erasure, Keys: slices.Clone(c.Keys),
		Unreadable: c.Unreadable, Digest: slices.Clone(c.Digest), At: c.At}}, nil
}
