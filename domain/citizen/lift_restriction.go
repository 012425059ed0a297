package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

var (
	ErrNoRestriction      = domain.NewError(domain.NotFound, "restrictionNotFound", "no such restriction of processing")
	ErrNotYourRestriction = domain.NewError(domain.Forbidden, "notYourRestriction", "a restriction is lifted by the citizen who asked for it, or by a privacy officer")
	ErrNotInformed        = domain.NewError(domain.Invalid, "citizenNotInformed", "a privacy officer lifts a restriction after telling the citizen, and says on which day that was")
)

// LiftRestriction ends one restriction of processing. Lifting twice is not an error.
type LiftRestriction struct {
	Restriction domain.RestrictionID
	Informed    domain.Date // the day on which the citizen was told; absent when the citizen lifts it
	By          domain.Actor
	At          time.Time
}

// Decide implements P-5.
func (c LiftRestriction) Decide(s State) ([]Event, error) {
	officer := c.By.Role == domain.RolePrivacyOfficer
	if !officer && !c.By.IsSelf(s.Citizen) {
		return nil, ErrMayNotRestrict
	}
	i := slices.IndexFunc(s.Restrictions, func(r Restriction) bool { return r.ID == c.Restriction })
	switch {
	case i < 0:
		return nil, ErrNoRestriction
	case !officer && s.Restrictions[i].AskedBy != domain.RoleCitizen:
		return nil, ErrNotYourRestriction
	case !s.Restrictions[i].stands():
		return nil, nil
	case officer && (c.Informed.IsZero() || domain.BelgianDate(c.At).Before(c.Informed)), !officer && !c.Informed.IsZero():
		return nil, ErrNotInformed
	}
	return []Event{RestrictionLifted{Citizen: s.Citizen, Restriction: c.Restriction, Informed: c.Informed, At: c.At}}, nil
}
