// Package document decides what an authentic source may attest about a citizen,
// how it changes and when it no longer counts.
//
//	(none) --Issue--> held --Suspend--> suspended
//	                   |  <--Reinstate--   |
//	                   |                   |
//	                   +------Revoke-------+--> revoked (final)
//
//	any of these --DestroyContent--> erased (final; the facts in clear stay)
//
// Update replaces the content of a held or suspended document by a new version.
// That a document is not yet valid or has expired is no event: the dates say so.
//
// Invariant: only its issuer changes a document, versions follow each other
// without a gap, and what is revoked or erased stays so.
package document

import (
	"slices"
	"time"

	"coffre/domain"
)

// State is what the rules need to remember of one document. The zero value is
// "none issued". States are shared: Evolve copies what it changes.
type State struct {
	Document         domain.DocumentID
	Citizen          domain.CitizenID
	Type             domain.DocumentType
	Issuer           domain.Organisation
	IssuedAt         time.Time
	PersonalValidity bool       // dates stand in the sealed part; see Open
	Versions         []Version  // version n at index n-1
	Suspensions      []Interval // in order; the last may be open
	Revocation       Revocation
	Erased           bool
}

// Version is one content of a document.
type Version struct {
	Tag Tag
	Dates
	At          time.Time
	Attachments []domain.AttachmentID
}

// Dates of one version. All absent in a folded state whose type has personal
// validity, until Open fills them in.
type Dates struct {
	EffectiveFrom domain.Date // version 1: absent, it applies from the beginning
	ValidFrom     domain.Date // inclusive; absent from version 2: both dates are the former version's
	ValidUntil    domain.Date // inclusive; absent: no end
}

// Interval of days: From is in it, Until is not; an absent Until is open.
type Interval struct{ From, Until domain.Date }

// Revocation is the one that stands for a document. The zero value is none.
type Revocation struct {
	Reason        domain.ReasonCode
	EffectiveFrom domain.Date
}

// IsZero reports whether the document is not revoked.
func (r Revocation) IsZero() bool { return r == Revocation{} }

// Exists reports whether the document was issued.
func (s State) Exists() bool { return !s.Document.IsZero() }

// Current returns the number of the newest version, which is what an ETag
// carries; 0 when nothing was issued.
func (s State) Current() int { return len(s.Versions) }

// Readable reports whether there is content that could be opened.
func (s State) Readable() bool { return s.Exists() && !s.Erased }

// suspended reports whether a suspension is open.
func (s State) suspended() bool {
	return len(s.Suspensions) > 0 && s.Suspensions[len(s.Suspensions)-1].Until.IsZero()
}

// Evolve returns the state after e. It never refuses: e already happened. It
// copes with any order, because revocations and suspensions are appended whatever
// came between.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Issued:
		return State{
			Document: e.Document, Citizen: e.Citizen, Type: e.Type, Issuer: e.Issuer, IssuedAt: e.At,
			PersonalValidity: e.PersonalValidity,
			Versions:         []Version{{e.Tag, Dates{"", e.ValidFrom, e.ValidUntil}, e.At, e.Attachments}},
			Suspensions:      s.Suspensions, Revocation: s.Revocation, Erased: s.Erased,
		}
	case Updated:
		s.Versions = append(slices.Clip(s.Versions), Version{e.Tag, Dates{e.EffectiveFrom, e.ValidFrom, e.ValidUntil}, e.At, e.Attachments})
		return s
	case Revoked:
		if s.Revocation.IsZero() || e.EffectiveFrom.Before(s.Revocation.EffectiveFrom) { // final: brought forward at most
			s.Revocation = Revocation{e.Reason, e.EffectiveFrom}
		}
		return s
	case Suspended:
		if !s.suspended() {
			s.Suspensions = append(slices.Clip(s.Suspensions), Interval{From: domain.BelgianDate(e.At)})
		}
		return s
	case Reinstated:
		if s.suspended() {
			s.Suspensions = slices.Clone(s.Suspensions)
			s.Suspensions[len(s.Suspensions)-1].Until = domain.BelgianDate(e.At)
		}
		return s
	case ContentDestroyed:
		s.Erased = true
		return s
	}
	panic("document: event type without a case in Evolve")
}
