package consent

import (
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// Request asks a citizen for their consent, as a consumer.
type Request struct {
	Consent       domain.ConsentID
	Citizen       domain.CitizenID // absent: the request reaches nobody, and the message is kept nowhere
	Terms         Terms            // all but Until; with types, not documents: the consumer knows of none
	Until         *time.Time       // nil: the longest
	Message       string
	Longest       time.Duration           // 0: one year
	Registrations []registry.Registration // the consumer's, in the registry in force
	By            domain.Actor
	At            time.Time
}

// Decide implements C-2. Nothing in the answer depends on whether somebody is reached (rule A-6).
func (c Request) Decide(s State) ([]Event, error) {
	terms, err := withEnd(c.Terms.cloned(), c.Until, c.At, c.Longest)
	switch {
	case err != nil:
		return nil, err
	case c.By.Role != domain.RoleConsumer || c.By.Organisation.IsZero() || c.By.Organisation != terms.Consumer:
		return nil, ErrNotRegistered
	case s.Phase != None:
		return nil, ErrAlreadyDecided
	case len(terms.Documents) > 0:
		return nil, ErrTerms
	}
	if _, err := terms.check(c.At, c.Longest, nil, c.Registrations); err != nil {
		return nil, err
	}
	e := Requested{Consent: c.Consent, Citizen: c.Citizen, Terms: terms, Tracked: true, At: c.At}
	if c.Message != "" && !c.Citizen.IsZero() {
		e.Personal = &RequestedPersonal{Message: c.Message}
	}
	return []Event{e}, nil
}

// withEnd puts in the end that is given, the longest where none is. It refuses terms that
// have an end of their own: whether one is given is told by the pointer alone.
func withEnd(t Terms, until *time.Time, at time.Time, longest time.Duration) (Terms, error) {
	switch {
	case t.Until != time.Time{}:
		return Terms{}, ErrTerms
	case until != nil:
		t.Until = *until
	default:
		t.Until = lastEnd(at, longest)
	}
	return t, nil
}
