package registry

import (
	"slices"

	"coffre/domain"
)

// Attestation is a kind of fact about persons that has an authentic source of its own: not
// who issues some type of document, but whom the registry gives the right to state the fact.
type Attestation string

const (
	Parentage        Attestation = "parentage"        // who the parents of a minor are
	CourtAppointment Attestation = "courtAppointment" // whom a court appointed to represent a person
	Death            Attestation = "death"            // that a person died
	NationalNumber   Attestation = "nationalNumber"   // that a person's national number was replaced
)

// Attestations lists every kind.
var Attestations = []Attestation{Parentage, CourtAppointment, Death, NationalNumber}

var (
	ErrParentageRight        = domain.NewError(domain.Forbidden, "parentageRightMissing", `the registry does not let this organisation say who somebody's parents are: it lacks the right "parentage"`)
	ErrCourtAppointmentRight = domain.NewError(domain.Forbidden, "courtAppointmentRightMissing", `the registry does not let this organisation say whom a court appointed: it lacks the right "courtAppointment"`)
	ErrDeathRight            = domain.NewError(domain.Forbidden, "deathRightMissing", `the registry does not let this organisation say that somebody died: it lacks the right "death"`)
	ErrNationalNumberRight   = domain.NewError(domain.Forbidden, "nationalNumberRightMissing", `the registry does not let this organisation say that a national number was replaced: it lacks the right "nationalNumber"`)
)

// Check implements R-13: it returns nil when the caller may state such a fact, and else the
// refusal that names the missing right. Attestors are the organisations to which the registry
// gives it. Call it before anything is looked up, so that the refusal tells nothing of anybody.
func (a Attestation) Check(by domain.Actor, attestors []domain.Organisation) error {
	if by.Role == domain.RoleIssuer && !by.Organisation.IsZero() && slices.Contains(attestors, by.Organisation) {
		return nil
	}
	switch a {
	case Parentage:
		return ErrParentageRight
	case CourtAppointment:
		return ErrCourtAppointmentRight
	case Death:
		return ErrDeathRight
	case NationalNumber:
		return ErrNationalNumberRight
	}
	panic("registry: attestation without a refusal")
}

// Attestors returns the organisations that may state such facts now: those with the right
// that are not retired.
func (r Registry) Attestors(a Attestation) []domain.Organisation {
	var all []domain.Organisation
	for _, o := range r.Organisations {
		if !o.Retired && slices.Contains(o.Attests, a) {
			all = append(all, o.Number)
		}
	}
	return all
}

// Attested reports whether what the organisation stated of this kind counts: while it has the
// right, retired or not. Taking the right away takes its word away.
func (r Registry) Attested(a Attestation, by domain.Organisation) bool {
	return slices.ContainsFunc(r.Organisations, func(o Organisation) bool {
		return o.Number == by && slices.Contains(o.Attests, a)
	})
}

// Unattested returns the kinds of facts that no organisation may state: all of them in a
// registry from before there were such rights.
func (r Registry) Unattested() []Attestation {
	return slices.DeleteFunc(slices.Clone(Attestations), func(a Attestation) bool { return len(r.Attestors(a)) > 0 })
}

// Majority is the age in years from which nobody is a minor (old Civil Code, art. 388 and 488).
const Majority = 18

// minDecideFrom is the age below which no registry lets a minor decide alone: from 12 on a
// judge hears every child who asks (Judicial Code, art. 1004/1).
const minDecideFrom = 12

// Settings are choices that the law leaves to whoever runs the vault.
type Settings struct {
	// MinorsDecideFrom is the age in years, 12 to 18, from which a minor reads and decides
	// alone, and the parents no longer do. 0 means 18: parents until majority.
	MinorsDecideFrom int `json:"minorsDecideFrom,omitzero"`
}

// DecidingAge returns the age in years from which a person decides alone.
func (s Settings) DecidingAge() int {
	if s.MinorsDecideFrom == 0 {
		return Majority
	}
	return s.MinorsDecideFrom
}

// checkAttestations implements R-13 for what an organisation may state.
func (c *checker) checkAttestations(at Place, rights []Attestation) {
	for i, a := range rights {
		if !slices.Contains(Attestations, a) || slices.Contains(rights[:i], a) {
			c.add(at, ErrRight, "attests")
		}
	}
}

// checkSettings implements R-13 for the age from which minors decide.
func (c *checker) checkSettings(s Settings) {
	if s.MinorsDecideFrom != 0 && (s.MinorsDecideFrom < minDecideFrom || s.MinorsDecideFrom > Majority) {
		c.add(Place{List: ListSettings}, ErrRight, "minorsDecideFrom")
	}
}
