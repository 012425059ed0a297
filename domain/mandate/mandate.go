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
//
// Invariant: what is ended stays ended, and nobody acts on a mandate that was not
// accepted.
package mandate

import (
	"slices"

	"coffre/domain"
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
	Accepted       bool
	Ended          bool
}

// Exists reports whether the mandate was granted.
func (s State) Exists() bool { return !s.Mandate.IsZero() }

// Evolve returns the state after e. It never refuses: e already happened. The
// state shares e's memory; neither is changed afterwards.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Granted:
		return State{
			Mandate: e.Mandate, Citizen: e.Citizen, Representative: e.Representative, Kind: e.Kind,
			Scope: e.Scope, Source: e.Source, Accepted: s.Accepted, Ended: s.Ended,
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

// majority is the age at which nobody is represented by their parents any more
// (Belgian Civil Code, art. 388).
const majority = 18

var (
	ErrNotInForce = domain.NewError(domain.Forbidden, "mandateNotInForce", "no mandate in force allows this")
	ErrUnreadable = domain.NewError(domain.Unavailable, "mandateUnreadable", "the end of the mandate cannot be read now, so nothing is allowed under it")
	ErrNotFound   = domain.NewError(domain.NotFound, "mandateNotFound", "no such mandate")
)

// InForce is a mandate that holds: what the rules of other streams rely on. Its
// zero value allows nothing.
type InForce struct {
	ID             domain.MandateID
	Citizen        domain.CitizenID
	Representative domain.CitizenID
	Kind           Ground
	Scope          Scope
	Until          domain.Date // opened; never to be logged or stored in clear
}

// InForce returns the mandate as one that holds on a day, by the rules M-1.1,
// M-1.3, M-1.6, M-1.7 and M-1.9. Opened is the personal part of the grant; nil
// when it could not be opened.
func (s State) InForce(today domain.Date, opened *GrantedPersonal) (InForce, error) {
	switch {
	case !s.Exists() || !s.Accepted || s.Ended: // M-1.1, M-1.7
		return InForce{}, ErrNotInForce
	case opened == nil || opened.Until.IsZero(): // M-1.9
		return InForce{}, ErrUnreadable
	case !today.Before(opened.Until): // M-1.3, M-1.6
		return InForce{}, ErrNotInForce
	}
	return InForce{s.Mandate, s.Citizen, s.Representative, s.Kind, s.Scope, opened.Until}, nil
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
	return age > 0 && today.Before(f.Until.AddYears(age-majority))
}
