package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

// EraseWithSurvivor starts, in the stream of a life that was merged, the erasure of the life
// that it was merged into, which has started there.
type EraseWithSurvivor struct {
	Erasure domain.ErasureID
	Lives   []domain.CitizenID // of the person: this one was merged into one of them
	By      domain.Actor
	At      time.Time
}

// Decide implements E-1 and E-2 for a merged life: its holds and duties were judged with the
// survivor's.
func (c EraseWithSurvivor) Decide(s State) ([]Event, error) {
	switch _, known := s.Erasure(c.Erasure); {
	case !isEraser(c.By):
		return nil, ErrNotEraser
	case s.MergedInto.IsZero() || !slices.Contains(c.Lives, s.MergedInto):
		return nil, ErrNotMerged
	case known:
		return nil, nil
	}
	return []Event{ErasureStarted{Citizen: s.Citizen, Erasure: c.Erasure, At: c.At}}, nil
}
