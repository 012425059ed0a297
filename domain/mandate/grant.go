package mandate

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
)

var (
	ErrMayNotGrant    = domain.NewError(domain.Forbidden, "mayNotGrantMandate", "a representation is granted by the represented citizen, and no other kind of mandate is granted by citizens")
	ErrAlreadyGranted = domain.NewError(domain.Conflict, "mandateAlreadyGranted", "this mandate was granted before, with other terms")
	ErrScope          = domain.NewError(domain.Invalid, "mandateScope", "a mandate allows at least one known action, each named once")
	ErrUntil          = domain.NewError(domain.Invalid, "mandateEnd", "a mandate ends on a day that lies ahead")
	ErrNotMinor       = domain.NewError(domain.Conflict, "citizenNotMinor", "parents represent a minor only, by the source's day of birth and by the national number, until the eighteenth birthday")
	ErrSelf           = domain.NewError(domain.Invalid, "mandateToSelf", "nobody represents themselves")
	ErrRefused        = domain.NewError(domain.Conflict, "mandateRefused", "the vault makes no mandate between these two persons, and does not tell a source why: what it knows of either may rule it out")
	ErrNotAlive       = domain.NewError(domain.Conflict, "mandateAmongLiving", "a mandate binds two living persons that the vault knows")
)

// Grant lets a representative act for a citizen.
type Grant struct {
	Mandate        domain.MandateID
	Citizen        domain.CitizenID
	Representative domain.CitizenID
	Kind           Ground
	Scope          Scope
	// Until is the first day on which it no longer holds; for a parent the child's
	// eighteenth birthday, from the authentic source's facts.
	Until domain.Date
	// Born is the child's day of birth by the source, where it says it; Numbered is the
	// earliest one by the national number that it named, and NumberedToday by the number that
	// the child has today. They are for a parent.
	Born, Numbered, NumberedToday domain.Date
	Attestors                     []domain.Organisation // who may attest the ground, by the registry
	// CitizenIs and RepresentativeIs are how both stand by their own streams.
	CitizenIs, RepresentativeIs citizen.Standing
	By                          domain.Actor
	At                          time.Time
}

// Decide implements M-1.1 to M-1.8 and M-1.11 as far as a grant is concerned. The same
// grant again is no error. Where the source and the number disagree about a child's age, the
// mandate ends by whichever is stricter. What a source is refused for a fact that the vault
// knows, and the source did not say, is ErrRefused whatever the fact: a source of parentage
// has no right to learn of a death.
func (c Grant) Decide(s State) ([]Event, error) {
	switch c.Kind {
	case ParentOfMinor, AppointedByCourt: // M-1.4, M-1.10
		if c.By.Role == domain.RoleCitizen {
			return nil, ErrMayNotGrant
		}
		if err := c.Kind.Attestation().Check(c.By, c.Attestors); err != nil {
			return nil, err
		}
	case Representation: // M-1.1
		if !c.By.IsSelf(c.Citizen) {
			return nil, ErrMayNotGrant
		}
	default:
		return nil, ErrMayNotGrant
	}
	today := domain.BelgianDate(c.At)
	switch {
	case c.Citizen == c.Representative:
		return nil, ErrSelf
	case !knownOnce(c.Scope.Actions): // M-1.2
		return nil, ErrScope
	case s.Ended: // M-1.7
		return nil, ErrEnded
	case s.Exists() && !c.sameAs(s):
		return nil, ErrAlreadyGranted
	case s.Exists():
		return nil, nil
	case c.Until.IsZero(): // M-1.3
		return nil, ErrUntil
	case c.Kind == ParentOfMinor && (!today.Before(c.Until) || today.AddYears(registry.Majority).Before(c.Until)): // M-1.6
		return nil, ErrNotMinor
	case !today.Before(c.Until): // M-1.3
		return nil, ErrUntil
	case c.Kind == ParentOfMinor && !isMinor(domain.Earlier(c.Born, c.Numbered), today): // M-1.11
		return nil, ErrNotMinor
	case c.Kind == ParentOfMinor && !isMinor(c.earliestBirth(), today): // M-1.11
		return nil, ErrRefused
	case c.CitizenIs == citizen.Living && c.RepresentativeIs == citizen.Living:
	case c.Kind == Representation: // M-1.8
		return nil, ErrNotAlive
	default: // M-1.8
		return nil, ErrRefused
	}
	granted := Granted{
		Mandate: c.Mandate, Citizen: c.Citizen, Representative: c.Representative, Kind: c.Kind,
		Scope: Scope{slices.Clone(c.Scope.Types), slices.Clone(c.Scope.Actions)}, At: c.At,
		Personal: &GrantedPersonal{Until: c.Until},
	}
	if c.Kind == ParentOfMinor {
		born := c.earliestBirth()
		granted.Personal = &GrantedPersonal{Until: domain.Earlier(c.Until, born.AddYears(registry.Majority)), Born: born}
	}
	if c.Kind != Representation {
		granted.Source = c.By.Organisation
		return []Event{granted, Accepted{Mandate: c.Mandate, At: c.At}}, nil // M-1.4
	}
	return []Event{granted}, nil
}

// earliestBirth returns the earliest day of a child's birth by all that tell one.
func (c Grant) earliestBirth() domain.Date {
	return domain.Earlier(domain.Earlier(c.Born, c.Numbered), c.NumberedToday)
}

// isMinor reports whether somebody born on a day, at the earliest, is known to be a minor.
func isMinor(born, today domain.Date) bool {
	return !born.IsZero() && !today.Before(born) && today.Before(born.AddYears(registry.Majority))
}

func (c Grant) sameAs(s State) bool {
	return s.Citizen == c.Citizen && s.Representative == c.Representative && s.Kind == c.Kind &&
		s.Source == c.By.Organisation && slices.Equal(s.Scope.Types, c.Scope.Types) && slices.Equal(s.Scope.Actions, c.Scope.Actions)
}

func knownOnce(actions []Action) bool {
	for i, a := range actions {
		if a != Read && a != Consent || slices.Contains(actions[:i], a) {
			return false
		}
	}
	return len(actions) > 0
}
