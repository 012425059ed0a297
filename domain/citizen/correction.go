package citizen

import (
	"errors"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// CorrectionLifetime is the time within which a proposed correction has to be decided.
const CorrectionLifetime = 30 * 24 * time.Hour

// maxCorrectionsOpen bounds the proposals of one citizen that wait for a decision.
const maxCorrectionsOpen = 20

// Refusals of a correction.
var (
	ErrMayNotCorrect          = domain.NewError(domain.Forbidden, "mayNotCorrect", "a correction is proposed by the authentic source or a privacy officer")
	ErrNoCorrection           = domain.NewError(domain.NotFound, "correctionNotFound", "no such correction")
	ErrCorrectionSecondPerson = domain.NewError(domain.Forbidden, "secondPersonNeeded", "who proposed a correction cannot decide it, nor can anybody where that cannot be told any more: then it is proposed anew")
	ErrCorrectionLapsed       = domain.NewError(domain.Conflict, "correctionLapsed", "nobody decided this correction within 30 days; it is proposed anew")
	ErrManyCorrections        = domain.NewError(domain.Conflict, "tooManyCorrections", "twenty corrections of this citizen wait for a decision already")
	ErrSurvivor               = domain.NewError(domain.Invalid, "mergeSurvivor", "a merge names another citizen of the vault, who is not merged into somebody else")
	ErrMergeStanding          = domain.NewError(domain.Conflict, "mergeStanding", "one of both is on record as deceased and the other is not; that is reported or corrected first")
	ErrMergeErasure           = domain.NewError(domain.Conflict, "mergeErasure", "an erasure of one of both was asked for and is not done; it is carried out or lapses first")
	ErrNotMerged              = domain.NewError(domain.Conflict, "citizenNotMerged", "this life was not merged into another one")
	ErrNotDeceased            = domain.NewError(domain.Conflict, "citizenNotDeceased", "no death of this citizen is on record that could be corrected")
)

// CorrectionKind is what a correction corrects.
type CorrectionKind string

const (
	// DeathInError is the correction of a death that was reported in error.
	DeathInError CorrectionKind = "deathInError"
	// Merge joins two lives of one person, who got two numbers.
	Merge CorrectionKind = "merge"
	// Separation undoes a merge.
	Separation CorrectionKind = "separation"
)

// Correction is one proposal, and when it was carried out.
type Correction struct {
	ID         domain.CorrectionID
	Kind       CorrectionKind
	Survivor   domain.CitizenID // of a Merge
	ProposedAt time.Time
	DecidedAt  time.Time // zero: it is not
}

// Lapsed reports whether the correction was not decided in time.
func (c Correction) Lapsed(at time.Time) bool {
	return c.DecidedAt.IsZero() && at.Sub(c.ProposedAt) > CorrectionLifetime
}

// Correction returns the correction with that id, if there is one.
func (s State) Correction(id domain.CorrectionID) (Correction, bool) {
	i := slices.IndexFunc(s.Corrections, func(c Correction) bool { return c.ID == id })
	if i < 0 {
		return Correction{}, false
	}
	return s.Corrections[i], true
}

func (s State) propose(c Correction) State {
	if _, known := s.Correction(c.ID); !known {
		s.Corrections = append(slices.Clip(s.Corrections), c)
	}
	return s
}

func (s State) decided(id domain.CorrectionID, at time.Time) State {
	s.Corrections = slices.Clone(s.Corrections)
	for i := range s.Corrections {
		if s.Corrections[i].ID == id && s.Corrections[i].DecidedAt.IsZero() {
			s.Corrections[i].DecidedAt = at
		}
	}
	return s
}

// mayPropose judges what every proposal has in common. Fact is what the authentic source has
// to have the right to state (rule R-13), empty where none may propose. known is true when
// this one was proposed before, and nothing has to happen.
func (s State) mayPropose(id domain.CorrectionID, by domain.Actor, fact registry.Attestation, attestors []domain.Organisation, at time.Time) (known bool, err error) {
	switch {
	case by.Role == domain.RolePrivacyOfficer:
	case by.Role != domain.RoleIssuer || fact == "":
		return false, ErrMayNotCorrect
	default:
		if err := fact.Check(by, attestors); err != nil {
			return false, err
		}
	}
	if _, known := s.Correction(id); known {
		return true, nil
	}
	if err := s.writable(); err != nil && !errors.Is(err, ErrMerged) {
		return false, err
	}
	open := 0
	for _, c := range s.Corrections {
		if c.DecidedAt.IsZero() && !c.Lapsed(at) {
			open++
		}
	}
	if open >= maxCorrectionsOpen {
		return false, ErrManyCorrections
	}
	return false, nil
}

// Agreement is a second person's decision of a correction.
type Agreement struct {
	Correction domain.CorrectionID
	// ProposedBy is the actor in the metadata of the proposal; Aliases are the names that
	// the second person may have there, and Comparable says that the key that named the
	// proposer is left.
	ProposedBy domain.Actor
	Aliases    []string
	Comparable bool
	By         domain.Actor
	At         time.Time
}

// judge implements what every decision of a correction has in common: another privacy
// officer than who proposed it, in time. due is false, without a refusal, when it was
// carried out before.
func (a Agreement) judge(s State, kind CorrectionKind) (c Correction, due bool, err error) {
	if a.By.Role != domain.RolePrivacyOfficer {
		return Correction{}, false, ErrNotOfficer
	}
	c, known := s.Correction(a.Correction)
	switch {
	case !known || c.Kind != kind:
		return c, false, ErrNoCorrection
	case !domain.SecondPerson(a.ProposedBy, a.By, a.Aliases, a.Comparable):
		return c, false, ErrCorrectionSecondPerson
	case !c.DecidedAt.IsZero():
		return c, false, nil
	case c.Lapsed(a.At):
		return c, false, ErrCorrectionLapsed
	}
	return c, true, nil
}
