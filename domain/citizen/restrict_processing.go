package citizen

import (
	"slices"
	"time"

	"coffre/domain"
)

// MaxRestrictions bounds how many restrictions of one citizen stand at a time.
const MaxRestrictions = 100

// The reasons of restrictions that come with a petition (rule Q-6).
const (
	AccuracyContested domain.ReasonCode = "accuracyContested" // GDPR art. 18(1)(a)
	Objection         domain.ReasonCode = "objection"         // art. 18(1)(d)
)

var (
	ErrMayNotRestrict   = domain.NewError(domain.Forbidden, "mayNotRestrict", "a restriction of processing is asked for by the citizen or a privacy officer")
	ErrManyRestrictions = domain.NewError(domain.Conflict, "tooManyRestrictions", "a hundred restrictions of processing stand already; one over everything does as much")
	// ErrRestrictionStands refuses an erasure (rule E-1).
	ErrRestrictionStands = domain.NewError(domain.Conflict, "restrictionStands", "a restriction of processing stands, so what it covers is neither disclosed nor erased; lift it first")
)

// Restriction is a restriction of processing, standing until it is lifted.
type Restriction struct {
	ID       domain.RestrictionID
	Document domain.DocumentID // zero: everything of the citizen
	Reason   domain.ReasonCode
	AskedBy  domain.Role
	At       time.Time
	LiftedAt time.Time // zero while it stands
}

func (r Restriction) stands() bool { return r.LiftedAt.IsZero() }

func (r Restriction) covers(d domain.DocumentID) bool { return r.Document.IsZero() || r.Document == d }

// Restrictions are those of one citizen. They are shared and never changed.
type Restrictions []Restriction

// Cover reports whether a restriction stands that covers a document. The zero id stands for
// no document in particular, which only a restriction of everything covers.
func (all Restrictions) Cover(d domain.DocumentID) bool {
	return slices.ContainsFunc(all, func(r Restriction) bool { return r.stands() && r.covers(d) })
}

// CoverDespite reports the same where the citizen consented at a moment: consent given after
// a restriction was asked for lets its data be read all the same (GDPR art. 18(2)); an
// earlier one does not.
func (all Restrictions) CoverDespite(d domain.DocumentID, consented time.Time) bool {
	return slices.ContainsFunc(all, func(r Restriction) bool { return r.stands() && r.covers(d) && !r.At.Before(consented) })
}

// overlap returns those that stand and cover something that an erasure would destroy.
func (all Restrictions) overlap(scope Scope, d domain.DocumentID) Restrictions {
	var standing Restrictions
	for _, r := range all {
		if r.stands() && (scope == WholeCitizen || r.covers(d)) {
			standing = append(standing, r)
		}
	}
	return standing
}

// RestrictProcessing asks that what the vault holds of a citizen, or of one document, be
// kept and not disclosed. It is appended whatever came between, and works while no key can
// be had.
type RestrictProcessing struct {
	Restriction domain.RestrictionID
	Document    *domain.DocumentID // of the citizen, as the caller saw; nil: everything
	Reason      domain.ReasonCode
	By          domain.Actor
	At          time.Time
}

// Decide implements P-5.
func (c RestrictProcessing) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RolePrivacyOfficer && !c.By.IsSelf(s.Citizen) {
		return nil, ErrMayNotRestrict
	}
	standing := 0
	for _, r := range s.Restrictions {
		if r.stands() {
			standing++
		}
	}
	switch {
	case s.Standing() == "":
		return nil, ErrUnknown
	case slices.ContainsFunc(s.Restrictions, func(r Restriction) bool { return r.ID == c.Restriction }):
		return nil, nil
	case s.Standing() == Erased:
		return nil, ErrErased
	case s.underWay(): // E-1
		return nil, ErrErasureStarted
	case c.Reason == "":
		return nil, ErrReasonMissing
	case standing >= MaxRestrictions:
		return nil, ErrManyRestrictions
	}
	e := ProcessingRestricted{Citizen: s.Citizen, Restriction: c.Restriction, Reason: c.Reason, AskedBy: c.By.Role, At: c.At}
	if c.Document != nil {
		e.Document = *c.Document
	}
	return []Event{e}, nil
}

func (s State) restricted(e ProcessingRestricted) State {
	if slices.ContainsFunc(s.Restrictions, func(r Restriction) bool { return r.ID == e.Restriction }) {
		return s
	}
	s.Restrictions = append(slices.Clip(s.Restrictions), Restriction{ID: e.Restriction, Document: e.Document, Reason: e.Reason, AskedBy: e.AskedBy, At: e.At})
	return s
}

func (s State) unrestricted(e RestrictionLifted) State {
	s.Restrictions = slices.Clone(s.Restrictions)
	for i, r := range s.Restrictions {
		if r.ID == e.Restriction && r.stands() {
			s.Restrictions[i].LiftedAt = e.At
		}
	}
	return s
}
