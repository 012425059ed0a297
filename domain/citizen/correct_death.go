package citizen

// CorrectDeath is the decision of a privacy officer, who is not the one who proposed it, that
// a death was reported in error: the citizen lives.
type CorrectDeath struct{ Agreement }

// Decide implements the second half of P-6.
func (c CorrectDeath) Decide(s State) ([]Event, error) {
	_, due, err := c.judge(s, DeathInError)
	if err != nil || !due {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if !s.Deceased {
		return nil, ErrNotDeceased
	}
	return []Event{DeathCorrected{Citizen: s.Citizen, Correction: c.Correction, At: c.At}}, nil
}
