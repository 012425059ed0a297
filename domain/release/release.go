// Package release decides how a person who was erased may be known to the vault again.
// What the vault remembers of an erased person is a keyed digest of their number, so that
// erased stays erased; a release ends that memory on a day, or begins a new life at once.
//
//	(none) --Propose--> proposed --Approve--> approved --Complete--> completed
//
// Its rules are parts of E-4:
//
//   - E-4.1 an officer proposes, on a legal basis
//   - E-4.2 another officer approves, who names the same person again
//   - E-4.3 a proposal that nobody approved within 30 days counts no more
//   - E-4.4 a release is carried out once
//
// Invariant: no fact here says who the person was. The tag of their number is made for one
// release, so that no two releases have one in common.
package release

import (
	"time"

	"coffre/domain"
)

// Kind is what a release does.
type Kind string

const (
	// End lets the memory of an erasure end at a moment; from then on the person is like
	// one whom the vault never knew.
	End Kind = "end"
	// NewLife registers the person at once, under an id that has no link to the former one.
	NewLife Kind = "newLife"
)

// Tag is a keyed digest of a person's number for one release.
type Tag [16]byte

// State is what the rules need to remember of one release. The zero value is none.
type State struct {
	Release    domain.ReleaseID
	Kind       Kind
	Basis      domain.LegalBasis
	Until      time.Time // of an End
	Tag        Tag
	ProposedAt time.Time
	ApprovedAt time.Time        // zero: it is not
	Completed  time.Time        // zero: it is not
	Citizen    domain.CitizenID // whom a completed NewLife registered
}

// Evolve returns the state after e. It never refuses: e already happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Proposed:
		s.Release, s.Kind, s.Basis, s.Until, s.ProposedAt = e.Release, e.Kind, e.Basis, e.Until, e.At
		copy(s.Tag[:], e.Tag)
		return s
	case Approved:
		s.ApprovedAt = e.At
		return s
	case Completed:
		s.Completed, s.Citizen = e.At, e.Citizen
		return s
	}
	panic("release: event type without a case in Evolve")
}

// Lifetime is the time within which a proposal has to be approved, and an approved release
// carried out.
const Lifetime = 30 * 24 * time.Hour

// Refusals of a release.
var (
	ErrNotOfficer   = domain.NewError(domain.Forbidden, "mayNotRelease", "a release is proposed and approved by privacy officers")
	ErrKind         = domain.NewError(domain.Invalid, "releaseKind", "a release ends the memory of an erasure at a moment that it names, or begins a new life at once")
	ErrEndPast      = domain.NewError(domain.Invalid, "releaseEndPast", "the moment at which the memory of an erasure ends lies ahead")
	ErrNoLegalBasis = domain.NewError(domain.Invalid, "legalBasisMissing", "a release needs a legal basis")
	ErrUnknown      = domain.NewError(domain.NotFound, "releaseNotFound", "no such release")
	ErrOtherPerson  = domain.NewError(domain.Conflict, "releaseOfAnother", "the number is not the one that was proposed")
	ErrSecondPerson = domain.NewError(domain.Forbidden, "secondPersonNeeded", "who proposed a release cannot approve it, nor can anybody where that cannot be told any more: then it is proposed anew")
	ErrLapsed       = domain.NewError(domain.Conflict, "releaseLapsed", "the release was not approved, or not carried out, within 30 days; it is proposed anew")
)
