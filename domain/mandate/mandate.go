// Package mandate decides who may act for whom: parents for their minor child,
// and whoever a citizen chose.
//
//	(none) --Grant--> granted --Accept--> in force --End--> ended (final)
//	                     \------------End----------------/
//
// A parent's mandate is granted and accepted at once, for the authentic source
// vouches for both. That a mandate reached its end is no event: whoever relies on
// it compares the date, which is sealed.
//
// Rules about a mandate, the parts of M-1:
//
//   - M-1.1 a mandate is granted, and accepted before it holds
//   - M-1.2 it has a scope: at least one action, and the types or all of them
//   - M-1.3 it has an end; from then on it does not hold
//   - M-1.4 parents of a minor come from the authentic source
//   - M-1.5 each parent has a mandate of their own: neither hangs on the other's
//   - M-1.6 a parent's ends when the child turns 18
//   - M-1.7 either side, and for parents the source, ends it at once, for good
//   - M-1.8 it ends with either's death
//   - M-1.9 an end that cannot be read allows nothing
//   - M-1.10 it speaks while it is attested: by the represented citizen, or by an
//     organisation that the registry of today gives the right to
//   - M-1.11 a parent's ends by the source's day of birth or by the national number,
//     whichever is earlier
//   - M-1.12 from the age that the registry says a minor decides alone
//
// Invariant: what is ended stays ended, and nobody acts on a mandate that was not
// accepted.
package mandate

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
)

// State is what the rules need to remember of one mandate. The zero value is
// "none granted". States are shared and never changed.
type State struct {
	Mandate        domain.MandateID
	Citizen        domain.CitizenID // the represented person
	Representative domain.CitizenID
	Kind           Ground
	Scope          Scope
	Source         domain.Organisation
	GrantedAt      time.Time
	Accepted       bool
	Ended          bool
}

// Exists reports whether the mandate was granted.
func (s State) Exists() bool { return !s.Mandate.IsZero() }

// Open reports whether the mandate was accepted and not ended: without that it allows nothing,
// and with it whatever else is judged at its use.
func (s State) Open() bool { return s.Exists() && s.Accepted && !s.Ended }

// Evolve returns the state after e. It never refuses: e already happened. The
// state shares e's memory; neither is changed afterwards.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Granted:
		return State{
			Mandate: e.Mandate, Citizen: e.Citizen, Representative: e.Representative, Kind: e.Kind,
			Scope: e.Scope, Source: e.Source, GrantedAt: e.At, Accepted: s.Accepted, Ended: s.Ended,
		}
	case Accepted:
		s.Accepted = true
		return s
	case Ended:
		s.Ended = true
		return s
	}
	panic("mandate: event type without a case in Evolve")
}

// Attestation returns the fact by which somebody has such a mandate, and the right without
// which nobody grants one; "" where citizens grant it over themselves.
func (g Ground) Attestation() registry.Attestation {
	switch g {
	case ParentOfMinor:
		return registry.Parentage
	case AppointedByCourt:
		return registry.CourtAppointment
	}
	return ""
}

var (
	ErrNotInForce = domain.NewError(domain.Forbidden, "mandateNotInForce", "no mandate in force allows this")
	ErrUnreadable = domain.NewError(domain.Unavailable, "mandateUnreadable", "the end of the mandate cannot be read now, so nothing is allowed under it")
	ErrNotFound   = domain.NewError(domain.NotFound, "mandateNotFound", "no such mandate")
)

// Reasons for which a mandate that stands on record allows nothing.
const (
	Expired      domain.ReasonCode = "expired"
	NotAttested  domain.ReasonCode = "notAttested"  // who granted it has no right to, in the registry of today
	DecidesAlone domain.ReasonCode = "decidesAlone" // the minor has the age from which they decide
	GrantorMinor domain.ReasonCode = "grantorMinor" // the citizen who granted it has not that age
	// RepresentativeMinor: it lets the representative decide only, who has not that age.
	RepresentativeMinor domain.ReasonCode = "representativeMinor"
)

// Lapsed says why a mandate that is accepted and not ended allows nothing. It unwraps to
// ErrNotInForce.
type Lapsed struct{ Why domain.ReasonCode }

func (l Lapsed) Error() string { return "the mandate does not hold: " + string(l.Why) }

// Unwrap returns ErrNotInForce.
func (l Lapsed) Unwrap() error { return ErrNotInForce }

// Circumstances are all that the use of a mandate is judged by, besides what its stream says:
// how everything stands at that moment. The zero value allows nothing.
type Circumstances struct {
	Today    domain.Date
	Opened   *GrantedPersonal // the personal part of the grant; nil when it could not be opened
	Numbered domain.Date      // earliest day of birth of the represented person, by their number of today; "" when it could not be opened
	// RepresentativeNumbered is the same of the representative.
	RepresentativeNumbered domain.Date
	Registry               registry.Registry
	// CitizenIs and RepresentativeIs are how both stand by their own streams.
	CitizenIs, RepresentativeIs citizen.Standing
	// Revived is when a death of either was corrected last; zero: never.
	Revived time.Time
}

// InForce is a mandate that holds: what the rules of other streams rely on. Its
// zero value allows nothing.
type InForce struct {
	ID             domain.MandateID
	Citizen        domain.CitizenID
	Representative domain.CitizenID
	Kind           Ground
	Scope          Scope
	Until          domain.Date // opened; never to be logged or stored in clear, as Born
	Born           domain.Date // the earliest day of birth of a child
}

// InForce returns the mandate as one that holds, by the rules M-1.1, M-1.3, M-1.6 to M-1.12,
// and else an error: Lapsed, ErrUnreadable, or ErrNotInForce for what is not accepted, or
// ended. It is the only place where it is decided whether one citizen speaks for another.
func (s State) InForce(c Circumstances) (InForce, error) {
	switch {
	case !s.Open(): // M-1.1, M-1.7
		return InForce{}, ErrNotInForce
	case c.CitizenIs != citizen.Living || c.RepresentativeIs != citizen.Living: // M-1.8
		return InForce{}, Lapsed{Death}
	case !c.Revived.IsZero() && !s.GrantedAt.After(c.Revived): // P-6: the death ended it
		return InForce{}, Lapsed{Death}
	case s.Kind.Attestation() != "" && !c.Registry.Attested(s.Kind.Attestation(), s.Source): // M-1.4, M-1.10
		return InForce{}, Lapsed{NotAttested}
	case c.Opened == nil || c.Opened.Until.IsZero() || c.Numbered.IsZero() || c.RepresentativeNumbered.IsZero(): // M-1.9
		return InForce{}, ErrUnreadable
	case !c.Today.Before(c.Opened.Until): // M-1.3, M-1.6
		return InForce{}, Lapsed{Expired}
	}
	f := InForce{s.Mandate, s.Citizen, s.Representative, s.Kind, s.Scope, c.Opened.Until, ""}
	decides := c.Registry.Settings.DecidingAge()
	switch s.Kind {
	case ParentOfMinor:
		f.Born = domain.Earlier(c.Opened.born(), c.Numbered)
		f.Until = domain.Earlier(f.Until, f.Born.AddYears(registry.Majority))
		switch {
		case !isMinor(f.Born, c.Today): // M-1.11
			return InForce{}, Lapsed{NotMinor}
		case !c.Today.Before(f.Born.AddYears(decides)): // M-1.12
			return InForce{}, Lapsed{DecidesAlone}
		}
	case Representation:
		if !s.Source.IsZero() { // M-1.10: no administration's word
			return InForce{}, Lapsed{NotAttested}
		}
		if MinorDecides(c.Numbered, c.Today, decides) != nil { // M-1.12
			return InForce{}, Lapsed{GrantorMinor}
		}
	case AppointedByCourt:
	default:
		return InForce{}, Lapsed{NotAttested}
	}
	if MinorDecides(c.RepresentativeNumbered, c.Today, decides) != nil { // M-1.12
		f.Scope.Actions = slices.DeleteFunc(slices.Clone(f.Scope.Actions), func(a Action) bool { return a == Consent })
		if len(f.Scope.Actions) == 0 {
			return InForce{}, Lapsed{RepresentativeMinor}
		}
	}
	return f, nil
}

// Spoke returns nil when the mandate, ended since or not, spoke on a day by the registry and
// the number of today: what was done under it then still counts. The age from which a minor
// decides alone is a choice of each day and is not asked.
func (s State) Spoke(on domain.Date, c Circumstances) error {
	s.Ended = false
	c.Today, c.CitizenIs, c.RepresentativeIs = on, citizen.Living, citizen.Living
	c.Revived = time.Time{}
	c.Registry.Settings = registry.Settings{}
	if s.Kind == Representation {
		c.Numbered = domain.Earlier(c.Numbered, on.AddYears(-registry.Majority))
	}
	c.RepresentativeNumbered = domain.Earlier(c.RepresentativeNumbered, on.AddYears(-registry.Majority))
	_, err := s.InForce(c)
	return err
}

// ErrMinor refuses what a minor does not decide yet.
var ErrMinor = domain.NewError(domain.Forbidden, "minorDoesNotDecide", "a minor below the age that the registry says does not decide this; the parents do")

// MinorDecides implements M-1.12 for citizens who decide for themselves: it returns ErrMinor
// for those who are surely below the age in years, by the earliest day on which they can
// have been born. On that day their parents' mandates cease, so that at no moment both
// decide, or nobody.
func MinorDecides(born, today domain.Date, age int) error {
	if born.IsZero() || today.Before(born.AddYears(age)) && !today.Before(born) {
		return ErrMinor
	}
	return nil
}

// Allows reports whether who may take the action for the citizen (rule M-1.2).
func (f InForce) Allows(who, citizen domain.CitizenID, action Action) bool {
	return !f.ID.IsZero() && !who.IsZero() && !citizen.IsZero() &&
		f.Representative == who && f.Citizen == citizen && slices.Contains(f.Scope.Actions, action)
}

// Covers reports whether documents of that type are in scope (rule M-1.2).
func (f InForce) Covers(t domain.DocumentType) bool {
	return !f.ID.IsZero() && (len(f.Scope.Types) == 0 || slices.Contains(f.Scope.Types, t))
}

// Holds reports whether the representative has documents of the type in their own
// wallet on a day. Parents hold only what the registry says they do, until the
// child has the age it says (rules M-1.2, M-1.5, M-1.6).
func (f InForce) Holds(t registry.DocumentType, today domain.Date) bool {
	if !f.Covers(t.Name) || !slices.Contains(f.Scope.Actions, Read) {
		return false
	}
	if f.Kind != ParentOfMinor {
		return true
	}
	age := t.Holders.ParentsUntil
	return age > 0 && today.Before(f.Born.AddYears(age))
}
