package release

import (
	"slices"
	"time"

	"coffre/domain"
)

// Propose is an officer's proposal of a release (rule E-4.1).
type Propose struct {
	Release domain.ReleaseID
	Kind    Kind
	Basis   domain.LegalBasis
	Until   time.Time // of an End
	Tag     Tag
	By      domain.Actor
	At      time.Time
}

// Decide implements E-4.1.
func (c Propose) Decide(s State) ([]Event, error) {
	switch {
	case c.By.Role != domain.RolePrivacyOfficer:
		return nil, ErrNotOfficer
	case !s.Release.IsZero():
		return nil, nil
	case c.Kind != End && c.Kind != NewLife, (c.Kind == End) == c.Until.IsZero():
		return nil, ErrKind
	case c.Basis == "":
		return nil, ErrNoLegalBasis
	}
	return []Event{Proposed{Release: c.Release, Kind: c.Kind, Basis: c.Basis, Until: c.Until, Tag: slices.Clone(c.Tag[:]), At: c.At}}, nil
}
