package citizen

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// ProposeMerge says, of one life, that it is of the same person as another one, the survivor.
type ProposeMerge struct {
	Correction    domain.CorrectionID
	Survivor      State // by its own stream
	CaseReference string
	Attestors     []domain.Organisation // who may state such facts, by the registry
	By            domain.Actor
	At            time.Time
}

// Decide implements the first half of P-7.
func (c ProposeMerge) Decide(s State) ([]Event, error) {
	known, err := s.mayPropose(c.Correction, c.By, registry.NationalNumber, c.Attestors, c.At)
	if err == nil && !known {
		err = s.mayMerge(c.Survivor)
	}
	if err != nil || known {
		return nil, err
	}
	e := MergeProposed{Citizen: s.Citizen, Correction: c.Correction, Survivor: c.Survivor.Citizen, At: c.At}
	if c.CaseReference != "" {
		e.Personal = &CorrectionPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}

// mayMerge judges whether a life may be merged into another one: both are there and neither is
// merged, they agree about whether the person lives, and nothing of either is about to be
// forgotten.
func (s State) mayMerge(survivor State) error {
	if err := s.writable(); err != nil {
		return err
	}
	switch err := survivor.writable(); {
	case survivor.Citizen.IsZero(), survivor.Citizen == s.Citizen, !survivor.MergedInto.IsZero():
		return ErrSurvivor
	case err != nil:
		return err
	case s.Deceased != survivor.Deceased:
		return ErrMergeStanding
	case s.erasureOpen() || survivor.erasureOpen():
		return ErrMergeErasure
	}
	return nil
}

// erasureOpen reports whether an erasure was approved and is neither done nor stopped.
func (s State) erasureOpen() bool {
	for _, e := range s.Erasures {
		if e.Step == Approved || e.Step == Started {
			return true
		}
	}
	return false
}

// ProposeSeparation says that a merge joined two persons.
type ProposeSeparation struct {
	Correction    domain.CorrectionID
	CaseReference string
	By            domain.Actor
	At            time.Time
}

// Decide implements the first half of P-7 for what undoes a merge.
func (c ProposeSeparation) Decide(s State) ([]Event, error) {
	known, err := s.mayPropose(c.Correction, c.By, "", nil, c.At)
	switch {
	case err != nil || known:
		return nil, err
	case s.MergedInto.IsZero():
		return nil, ErrNotMerged
	}
	e := SeparationProposed{Citizen: s.Citizen, Correction: c.Correction, At: c.At}
	if c.CaseReference != "" {
		e.Personal = &CorrectionPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}
