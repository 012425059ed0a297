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
	// Petition is the one with which the restriction came and whose answer ends it, whoever
	// answers: the answer tells the citizen. nil: nothing was answered.
	Petition *domain.PetitionID
	By       domain.Actor
	At       time.Time
}

// Decide implements P-5.
func (c LiftRestriction) Decide(s State) ([]Event, error) {
	officer := c.By.Role == domain.RolePrivacyOfficer
	answered := c.Petition != nil
	if !officer && !answered && !c.By.IsSelf(s.Citizen) {
		return nil, ErrMayNotRestrict
	}
	i := slices.IndexFunc(s.Restrictions, func(r Restriction) bool { return r.ID == c.Restriction })
	switch {
	case i < 0, answered && c.Petition.Restriction() != c.Restriction:
		return nil, ErrNoRestriction
	case !officer && !answered && s.Restrictions[i].AskedBy != domain.RoleCitizen:
		return nil, ErrNotYourRestriction
	case !s.Restrictions[i].stands():
		return nil, nil
	case (officer || answered) && (c.Informed.IsZero() || domain.BelgianDate(c.At).Before(c.Informed)), !officer && !answered && !c.Informed.IsZero():
		return nil, ErrNotInformed
	}
	return []Event{RestrictionLifted{Citizen: s.Citizen, Restriction: c.Restriction, Informed: c.Informed, At: c.At}}, nil
}
