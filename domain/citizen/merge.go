package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

// TakeIn records in the survivor's stream which life is about to be merged into it, so that
// the survivor's stream tells where else the person's facts are. It comes first and counts for
// nothing by itself.
type TakeIn struct {
	Correction domain.CorrectionID
	Former     State // by its own stream
	By         domain.Actor
	At         time.Time
}

// Decide implements P-7 on the survivor's side.
func (c TakeIn) Decide(s State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RolePrivacyOfficer:
		return nil, ErrNotOfficer
	case slices.Contains(s.Former, c.Former.Citizen):
		return nil, nil
	}
	if err := c.Former.mayMerge(s); err != nil {
		return nil, err
	}
	return []Event{Merged{Citizen: s.Citizen, Former: c.Former.Citizen, Correction: c.Correction, At: c.At}}, nil
}

// MergeInto is the decision of a privacy officer, who is not the one who proposed it, that a
// life is merged into the survivor.
type MergeInto struct {
	Agreement
	Survivor State // by its own stream
}

// Decide implements the second half of P-7.
func (c MergeInto) Decide(s State) ([]Event, error) {
	proposed, due, err := c.judge(s, Merge)
	if err != nil || !due {
		return nil, err
	}
	if proposed.Survivor != c.Survivor.Citizen {
		return nil, ErrSurvivor
	}
	if err := s.mayMerge(c.Survivor); err != nil {
		return nil, err
	}
	return []Event{MergedInto{Citizen: s.Citizen, Survivor: proposed.Survivor, Correction: c.Correction, At: c.At}}, nil
}

// Separate is the decision of a privacy officer, who is not the one who proposed it, that a
// merge joined two persons.
type Separate struct{ Agreement }

// Decide implements the second half of P-7 for what undoes a merge.
func (c Separate) Decide(s State) ([]Event, error) {
	_, due, err := c.judge(s, Separation)
	switch {
	case err != nil || !due:
		return nil, err
	case s.MergedInto.IsZero():
		return nil, ErrNotMerged
	case s.Standing() != Joined: // being erased with the survivor
		return nil, ErrErased
	}
	return []Event{Separated{Citizen: s.Citizen, Survivor: s.MergedInto, Correction: c.Correction, At: c.At}}, nil
}
