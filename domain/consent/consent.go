// Package consent decides who may read which of a citizen's documents because the
// citizen said so, for what purpose, until when and how often.
//
//	(none) --Request--> requested --Refuse--> refused (final)
//	   \                    |
//	    \----------------Grant--> granted --Withdraw--> withdrawn (final)
//	                              |     ^
//	                              +-Use-+   one access.Authorized each
//
// That a consent expired or is used up is no event: it is computed whenever it
// is relied on (rule C-3). Use and withdrawal stand in one stream, so the store
// itself orders them (rule C-4).
//
// Invariant: after a withdrawal nothing is authorised any more, and never more
// often than was agreed.
package consent

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/mandate"
)

// State is what the rules need to remember of one consent. The zero value is
// "neither asked for nor granted". States are shared: Evolve copies what it changes.
type State struct {
	Consent   domain.ConsentID
	Citizen   domain.CitizenID
	Terms     Terms
	Phase     Phase
	GrantedAt time.Time
	Mandate   domain.MandateID // under which it was granted; zero for the citizen's own
	Uses      int              // authorised accesses, repeats not counted
	Times     []time.Time      // of the newest uses, as many as the frequency needs
	Memory    access.Memory
}

// Phase is what was decided about a consent.
type Phase string

const (
	None        Phase = ""
	IsRequested Phase = "requested"
	IsGranted   Phase = "granted"
	IsRefused   Phase = "refused"
	IsWithdrawn Phase = "withdrawn"
)

// Evolve returns the state after e. It never refuses: e already happened. A
// withdrawal is appended whatever came between, so it stands whatever follows.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Requested:
		s.Consent, s.Citizen = e.Consent, e.Citizen
		if s.Phase == None {
			s.Phase, s.Terms = IsRequested, e.Terms
		}
		return s
	case Granted:
		s.Consent, s.Citizen, s.Terms, s.GrantedAt, s.Mandate = e.Consent, e.Citizen, e.Terms, e.At, e.Mandate
		if s.Phase != IsWithdrawn {
			s.Phase = IsGranted
		}
		return s
	case Refused:
		if s.Phase == IsRequested {
			s.Phase = IsRefused
		}
		return s
	case Withdrawn:
		s.Phase = IsWithdrawn
		return s
	case access.Authorized:
		s.Memory = s.Memory.Add(e)
		if e.Attempt > 1 {
			return s
		}
		s.Uses++
		if keep := s.Terms.Limits.Frequency.Uses; keep > 0 {
			times := s.Times[max(0, len(s.Times)-keep+1):]
			s.Times = append(slices.Clip(times), e.At)
		}
		return s
	}
	panic("consent: event type without a case in Evolve")
}

// UsesLeft returns how many uses the limit leaves; limited is false without one.
func (s State) UsesLeft() (left int, limited bool) {
	if s.Terms.Limits.Uses == 0 {
		return 0, false
	}
	return max(0, s.Terms.Limits.Uses-s.Uses), true
}

var (
	ErrNotFound       = domain.NewError(domain.NotFound, "consentNotFound", "no such consent")
	ErrNotYours       = domain.NewError(domain.Forbidden, "notYourConsent", "only the citizen, or who represents them for this, consents")
	ErrAlreadyDecided = domain.NewError(domain.Conflict, "consentAlreadyDecided", "this consent was decided before")
	ErrNotByThem      = domain.NewError(domain.Forbidden, "consentNotByThem", "the consent was given by somebody who did not speak for the citizen")
	ErrNotGranted     = domain.NewError(domain.Conflict, "consentNotGranted", "this consent was not granted")
)

// agent implements C-1: it returns the mandate under which a representative
// acts, zero when the citizen does. Types are what the act is about, as far as known.
func agent(by domain.Actor, citizen domain.CitizenID, m mandate.InForce, types []domain.DocumentType) (domain.MandateID, bool) {
	if by.IsSelf(citizen) {
		return domain.MandateID{}, true
	}
	if by.Role != domain.RoleRepresentative || !m.Allows(by.Citizen, citizen, mandate.Consent) {
		return domain.MandateID{}, false
	}
	for _, t := range types {
		if !m.Covers(t) {
			return domain.MandateID{}, false
		}
	}
	return m.ID, true
}
