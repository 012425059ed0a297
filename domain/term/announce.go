package term

import (
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
)

// Announce announces the end of a term as it stands, if a step of it was reached.
type Announce struct {
	Term     Term
	Standing citizen.Standing // of the citizen
	At       time.Time
}

// Decide implements N-1, N-2 and N-3. What is not to be announced records nothing, without an
// error.
func (c Announce) Decide(s State) ([]Event, error) {
	step, reached := c.Term.Reached(c.At)
	if !reached || c.Standing != citizen.Living || s.told(c.Term.Ends, step) {
		return nil, nil
	}
	e := Announced{
		Kind: c.Term.Kind, Citizen: c.Term.Citizen, Type: c.Term.Type, Organisation: c.Term.Organisation, Purpose: c.Term.Purpose,
		Ends: c.Term.Ends, Before: step, At: c.At,
	}
	switch c.Term.Kind {
	case Document:
		e.Document = domain.DocumentID{UUID: c.Term.Subject}
	case Consent:
		e.Consent = domain.ConsentID{UUID: c.Term.Subject}
	case Petition:
		e.Petition = domain.PetitionID{UUID: c.Term.Subject}
	}
	return []Event{e}, nil
}
