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
	Until   *time.Time // of an End, which has one; it lies ahead
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
	case c.Kind != End && c.Kind != NewLife, (c.Kind == End) == (c.Until == nil):
		return nil, ErrKind
	case c.Until != nil && !c.At.Before(*c.Until):
		return nil, ErrEndPast
	case c.Basis == "":
		return nil, ErrNoLegalBasis
	}
	e := Proposed{Release: c.Release, Kind: c.Kind, Basis: c.Basis, Tag: slices.Clone(c.Tag[:]), At: c.At}
	if c.Until != nil {
		e.Until = *c.Until
	}
	return []Event{e}, nil
}
