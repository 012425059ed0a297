package disclosure

import (
	"context"
	"fmt"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// Correction is what somebody proposed to correct about a citizen.
type Correction struct {
	citizen.Correction
	ProposedBy    domain.Actor // as the log names them
	CaseReference string       // opened; "" when none was given, or its key cannot be had
}

// Corrections returns every correction that was ever proposed about a citizen, oldest first,
// with what the log says of who proposed it.
func (dis *Discloser) Corrections(ctx context.Context, id domain.CitizenID) ([]Correction, error) {
	var state citizen.State
	proposals := make(map[domain.CorrectionID]Correction)
	for e, err := range dis.Log.Read(ctx, acting.CitizenStream(id), 0) {
		if err != nil {
			return nil, fmt.Errorf("read the citizen's corrections: %w", err)
		}
		fact, ok := e.Data.(citizen.Event)
		if !ok {
			return nil, fmt.Errorf("%s does not belong in a citizen's stream", e.Type)
		}
		state = citizen.Evolve(state, fact)
		proposed, ok := proposedCorrection(fact)
		if _, known := proposals[proposed]; !ok || known {
			continue
		}
		meta, err := e.Metadata()
		if err != nil {
			return nil, err
		}
		p := Correction{ProposedBy: meta.Actor}
		if e.Sealed != nil {
			opened, err := eventstore.OpenEvent(ctx, dis.openerFor(ctx), dis.codec, e)
			if err != nil && !KeyMissing(err) {
				return nil, err
			}
			p.CaseReference = correctionCase(opened)
		}
		proposals[proposed] = p
	}
	all := make([]Correction, 0, len(state.Corrections))
	for _, c := range state.Corrections {
		p := proposals[c.ID]
		p.Correction = c
		all = append(all, p)
	}
	return all, nil
}

// proposedCorrection returns the id of the correction that a fact proposes.
func proposedCorrection(fact citizen.Event) (domain.CorrectionID, bool) {
	switch f := fact.(type) {
	case citizen.DeathCorrectionProposed:
		return f.Correction, true
	case citizen.MergeProposed:
		return f.Correction, true
	case citizen.SeparationProposed:
		return f.Correction, true
	}
	return domain.CorrectionID{}, false
}

// correctionCase returns the case reference of an opened proposal.
func correctionCase(opened any) string {
	var p *citizen.CorrectionPersonal
	switch f := opened.(type) {
	case citizen.DeathCorrectionProposed:
		p = f.Personal
	case citizen.MergeProposed:
		p = f.Personal
	case citizen.SeparationProposed:
		p = f.Personal
	}
	if p == nil {
		return ""
	}
	return p.CaseReference
}
