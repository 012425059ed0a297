// Package investigation decides for how long accesses that a competent authority makes stay
// hidden from the citizen whom it investigates.
//
//	(none) --Open--> open --Renew--> open --Lift--> lifted
//	                   \--its end passes------------> lifted
//
// An access names its investigation when it is recorded, and nothing about it changes later:
// whether it is hidden follows from the investigation's stream and the clock, whenever it is
// asked. That an investigation ended by its time is no fact.
//
// Its rules:
//
//   - H-1 an organisation opens it for a purpose and a basis by law under which the registry lets
//     it hide accesses, says why, and until when, within the days that the registry allows
//   - H-2 it is renewed under the same, by the same organisation, a day before it ends at the latest
//   - H-3 the organisation or a privacy officer lifts it, for good; its end lifts it, too
//   - H-4 an access stands under it only while it is open, and only of that organisation for that
//     purpose and basis
//
// Invariant: once something was shown it is never hidden again. No fact here is personal, or
// says who is investigated.
package investigation

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// RenewBefore is how long before its end an investigation is renewed at the latest, so that no
// clock and no read model that is behind shows what a renewal would have kept hidden.
const RenewBefore = 24 * time.Hour

// Grounds are what an investigation is opened for, and all that it hides.
type Grounds struct {
	Organisation domain.Organisation `json:"organisation"`
	Purpose      domain.Purpose      `json:"purpose"`
	LegalBasis   domain.LegalBasis   `json:"legalBasis"`
	Deliberation domain.Deliberation `json:"deliberation"`
}

// State is what the rules need to remember of one investigation. The zero value is none, under
// which nothing is hidden.
type State struct {
	Investigation domain.InvestigationID
	Grounds       Grounds
	Reason        domain.ReasonCode
	OpenedAt      time.Time
	Until         time.Time // exclusive: when it ends by itself
	LiftedAt      time.Time // zero: nobody lifted it
}

// Evolve returns the state after e. It never refuses: e already happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Opened:
		return State{e.Investigation, e.Grounds, e.Reason, e.At, e.Until, time.Time{}}
	case Renewed:
		s.Until = e.Until
		return s
	case Lifted:
		s.LiftedAt = e.At
		return s
	}
	panic("investigation: event type without a case in Evolve")
}

// OpenAt reports whether what stands under the investigation is hidden at t (rule H-3).
func (s State) OpenAt(t time.Time) bool {
	return !s.Investigation.IsZero() && s.LiftedAt.IsZero() && t.Before(s.Until)
}

// Hides reports whether an access on these grounds at t stands under the investigation (rule
// H-4).
func (s State) Hides(g Grounds, t time.Time) bool { return s.OpenAt(t) && s.Grounds == g }

// Refusals of an investigation.
var (
	ErrMayNotHide = domain.NewError(domain.Forbidden, "mayNotHide", "the registry does not let the organisation hide accesses for this purpose, legal basis and deliberation")
	ErrReason     = domain.NewError(domain.Invalid, "investigationReason", "an investigation is opened for a reason that the citizen is told when it is over")
	ErrEnd        = domain.NewError(domain.Invalid, "investigationEnd", "an investigation ends after now, and within the days that the registry allows from now; a renewal does not bring the end forward")
	ErrUnknown    = domain.NewError(domain.NotFound, "investigationNotFound", "no such investigation")
	ErrOver       = domain.NewError(domain.Conflict, "investigationOver", "the investigation was lifted, or ended; what stands under it is shown")
	ErrLate       = domain.NewError(domain.Conflict, "investigationEndsSoon", "an investigation is renewed a day before it ends at the latest; open another one for what is read from now on")
)

// allowed returns how long the registrations of an organisation let it hide on these grounds;
// 0 when they do not.
func allowed(g Grounds, registrations []registry.Registration) time.Duration {
	days := 0
	for _, r := range registrations {
		for _, b := range r.Bases {
			if r.Purpose == g.Purpose && b.LegalBasis == g.LegalBasis && b.Deliberation == g.Deliberation {
				days = max(days, b.HidesForDays)
			}
		}
	}
	return time.Duration(days) * 24 * time.Hour
}

// opened reports whether an actor speaks for the organisation that opened the investigation.
func (s State) opened(by domain.Actor) bool {
	return by.Role == domain.RoleConsumer && by.Organisation == s.Grounds.Organisation
}
