package history

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/projections"
)

// Person is what the log says of a citizen's own stream. Times are zero for what did not
// happen.
type Person struct {
	RegisteredAt time.Time
	DiedAt       time.Time // when the death was reported, while the report stands
	MergedInto   domain.CitizenID
	Holds        []domain.HoldID        // that stand
	Restrictions []domain.RestrictionID // likewise
	Erasures     []Erasure              // in their order
}

// Erasure is how far an erasure had come.
type Erasure struct {
	Erasure  domain.ErasureID
	Document domain.DocumentID // zero: everything
	State    string            // requested, approved, started, stopped, destroyed, completed, finalised
	At       time.Time         // of that state
}

// Person returns what the log says of a citizen; ok is false when it says nothing up to the
// leaf.
func (h *History) Person(id domain.CitizenID) (p Person, ok bool) {
	known := h.persons[id]
	if known == nil {
		return Person{}, false
	}
	return *known, true
}

func (h *History) citizen(data citizen.Event, leaf int64) {
	switch f := data.(type) {
	case citizen.Registered:
		if h.tells(f.Citizen) {
			h.persons[f.Citizen] = &Person{RegisteredAt: f.At}
		}
	case citizen.Deceased:
		h.deaths = append(h.deaths, death{f.Citizen, leaf, projections.Latest})
		h.noted(f.Citizen).DiedAt = f.At
	case citizen.DeathCorrected:
		for i := range h.deaths {
			if d := &h.deaths[i]; d.citizen == f.Citizen && d.corrected == projections.Latest {
				d.corrected = leaf
			}
		}
		h.noted(f.Citizen).DiedAt = time.Time{}
	case citizen.MergedInto:
		h.merges = append(h.merges, merge{former: f.Citizen, survivor: f.Survivor})
		h.noted(f.Citizen).MergedInto = f.Survivor
	case citizen.Separated:
		for i := range h.merges {
			if m := &h.merges[i]; m.former == f.Citizen {
				m.separated = true
			}
		}
		h.noted(f.Citizen).MergedInto = domain.CitizenID{}
	case citizen.LegalHoldPlaced:
		p := h.noted(f.Citizen)
		p.Holds = append(p.Holds, f.Hold)
	case citizen.LegalHoldLifted:
		p := h.noted(f.Citizen)
		p.Holds = slices.DeleteFunc(p.Holds, func(id domain.HoldID) bool { return id == f.Hold })
	case citizen.ProcessingRestricted:
		p := h.noted(f.Citizen)
		p.Restrictions = append(p.Restrictions, f.Restriction)
	case citizen.RestrictionLifted:
		p := h.noted(f.Citizen)
		p.Restrictions = slices.DeleteFunc(p.Restrictions, func(id domain.RestrictionID) bool { return id == f.Restriction })
	case citizen.ErasureRequested:
		p := h.noted(f.Citizen)
		p.Erasures = append(p.Erasures, Erasure{Erasure: f.Erasure, Document: f.Document, State: "requested", At: f.At})
	case citizen.ErasureApproved:
		h.erasure(f.Citizen, f.Erasure, "approved", f.At)
	case citizen.ErasureStarted:
		h.erasure(f.Citizen, f.Erasure, "started", f.At)
	case citizen.ErasureStopped:
		h.erasure(f.Citizen, f.Erasure, "stopped", f.At)
	case citizen.KeyDestroyed:
		h.erasure(f.Citizen, f.Erasure, "destroyed", f.At)
	case citizen.ErasureCompleted:
		h.erasure(f.Citizen, f.Erasure, "completed", f.At)
	case citizen.ErasureFinalised:
		h.erasure(f.Citizen, f.Erasure, "finalised", f.At)
	}
}

// noted returns the person to note something of; what is noted of a stranger is kept by nobody.
func (h *History) noted(id domain.CitizenID) *Person {
	if p := h.persons[id]; p != nil {
		return p
	}
	return new(Person)
}

func (h *History) erasure(of domain.CitizenID, id domain.ErasureID, state string, at time.Time) {
	all := h.noted(of).Erasures
	for i := range all {
		if all[i].Erasure == id {
			all[i].State, all[i].At = state, at
		}
	}
}
