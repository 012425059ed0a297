package citizen

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// ProposeDeathCorrection says that a death was reported in error.
type ProposeDeathCorrection struct {
	Correction    domain.CorrectionID
	CaseReference string
	Attestors     []domain.Organisation // who may state such facts, by the registry
	By            domain.Actor
	At            time.Time
}

// Decide implements the first half of P-6.
func (c ProposeDeathCorrection) Decide(s State) ([]Event, error) {
	known, err := s.mayPropose(c.Correction, c.By, registry.Death, c.Attestors, c.At)
	switch {
	case err != nil || known:
		return nil, err
	case !s.MergedInto.IsZero():
		return nil, ErrMerged
	case !s.Deceased:
		return nil, ErrNotDeceased
	}
	e := DeathCorrectionProposed{Citizen: s.Citizen, Correction: c.Correction, At: c.At}
	if c.CaseReference != "" {
		e.Personal = &CorrectionPersonal{CaseReference: c.CaseReference}
	}
	return []Event{e}, nil
}
