package document

import (
	"slices"
	"time"

	"coffre/domain"
)

// Status says how a document stands on one day.
type Status string

const (
	Valid        Status = "valid"
	NotYetValid  Status = "notYetValid"
	Expired      Status = "expired"
	IsSuspended  Status = "suspended"
	IsRevoked    Status = "revoked"
	IsErased     Status = "erased"
	NotHeld      Status = ""           // nothing was issued
	UnknownDates Status = "unreadable" // the dates are personal and were not opened: rely on nothing
)

// Open returns the state with the personal dates of its versions, by version
// number, as their sealed parts hold them. A version that is not among them
// stays unreadable. States whose dates are in clear come back as they are.
func (s State) Open(dates map[int]Dates) State {
	if !s.PersonalValidity {
		return s
	}
	s.Versions = slices.Clone(s.Versions)
	for i := range s.Versions {
		s.Versions[i].Dates = dates[i+1]
	}
	return s
}

// readable reports whether the dates of version n are known: version 1 always
// has a ValidFrom, later ones an EffectiveFrom (rules D-3, D-6).
func (s State) readable(n int) bool {
	return s.Versions[n-1].ValidFrom != "" || n > 1 && s.Versions[n-1].EffectiveFrom != ""
}

// VersionAt returns the number of the version that applies on a day: the newest
// one that is effective by then (rule D-3), the first one before that. 0 means
// that it cannot be told, because nothing was issued or dates were not opened.
func (s State) VersionAt(day domain.Date) int {
	for n := len(s.Versions); n > 0; n-- {
		switch {
		case n == 1:
			return 1
		case !s.readable(n):
			return 0
		case !day.Before(s.Versions[n-1].EffectiveFrom):
			return n
		}
	}
	return 0
}

// Validity returns the days on which version n is valid, both inclusive; ok is
// false when they cannot be told.
func (s State) Validity(n int) (from, until domain.Date, ok bool) {
	for ; n > 0 && n <= len(s.Versions) && s.readable(n); n-- {
		if v := s.Versions[n-1]; v.ValidFrom != "" {
			return v.ValidFrom, v.ValidUntil, true
		}
	}
	return "", "", false
}

// StatusAt returns what the document counts for on a day (rules D-2, D-6), by
// what this state knows. Erasure, revocation and suspension need no dates opened.
func (s State) StatusAt(day domain.Date) Status {
	switch {
	case !s.Exists():
		return NotHeld
	case s.Erased:
		return IsErased
	case !s.Revocation.IsZero() && !day.Before(s.Revocation.EffectiveFrom):
		return IsRevoked
	}
	for _, i := range s.Suspensions {
		if !day.Before(i.From) && (i.Until.IsZero() || day.Before(i.Until)) {
			return IsSuspended
		}
	}
	from, until, ok := s.Validity(s.VersionAt(day))
	switch {
	case !ok:
		return UnknownDates
	case day.Before(from):
		return NotYetValid
	case !until.IsZero() && until.Before(day):
		return Expired
	}
	return Valid
}

// EndedBy returns the day on which the document ended, by its validity or its
// revocation, whichever came first, if that is not after day; else "". It is ""
// too when dates were not opened.
func (s State) EndedBy(day domain.Date) domain.Date {
	var ended domain.Date
	if !s.Revocation.IsZero() {
		ended = s.Revocation.EffectiveFrom
	}
	if _, until, ok := s.Validity(s.Current()); ok && until != "" && (ended.IsZero() || until.Before(ended)) {
		ended = until
	}
	if day.Before(ended) {
		return ""
	}
	return ended
}

// Snapshot is what the rules of other streams need to know of a document on one
// day. The zero value is a document that nobody holds.
type Snapshot struct {
	Document domain.DocumentID
	Citizen  domain.CitizenID
	Type     domain.DocumentType
	Issuer   domain.Organisation
	IssuedAt time.Time
	Version  int // that applies on the day; 0 when it cannot be told
	Status   Status
}

// On returns the document's snapshot on a day.
func (s State) On(day domain.Date) Snapshot {
	return Snapshot{s.Document, s.Citizen, s.Type, s.Issuer, s.IssuedAt, s.VersionAt(day), s.StatusAt(day)}
}
