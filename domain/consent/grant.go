package consent

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/mandate"
	"coffre/domain/registry"
)

var (
	ErrNotShown     = domain.NewError(domain.Invalid, "shownTextMissing", "what the citizen was shown is needed: text, language and version")
	ErrNotRenewable = domain.NewError(domain.Conflict, "consentNotRenewable", "a consent is renewed that was granted, by another to the same consumer for the same purpose")
	ErrOtherText    = domain.NewError(domain.Invalid, "shownTextNotRegistered", "the registry has no such text for this purpose, language and version; consentTexts of GET /registry has those that may be shown, with the organisation and the purpose filled in")
)

// Grant is the citizen's consent, in answer to a request or unasked.
type Grant struct {
	Consent domain.ConsentID
	Citizen domain.CitizenID
	// Terms of a consent unasked, all but Until; in answer to a request only what
	// narrows it: Fields and Limits.
	Terms Terms
	Until *time.Time // nil: the longest, or in answer to a request as asked
	Shown Shown
	// Registered is the text that the registry in force has for the purpose, the consumer, and
	// the language and version of Shown; "" when it has none.
	Registered string
	// Renews is the citizen's consent that this one takes the place of; nil of a first one. It
	// ends by a Withdraw of its own.
	Renews        *State
	Longest       time.Duration           // 0: one year
	Held          []Held                  // the citizen's documents that the terms name
	Registrations []registry.Registration // the consumer's, in the registry in force
	Standing      citizen.Standing        // the citizen's, by their own stream
	Mandate       mandate.InForce         // when a representative acts
	By            domain.Actor
	At            time.Time
}

// Decide implements C-1, C-2, C-5, C-7 and C-8: what was shown is a text of the registry, so that
// nobody records a consent to other words. To strangers a request does not exist.
func (c Grant) Decide(s State) ([]Event, error) {
	if err := c.Standing.Writable(); err != nil { // E-4
		return nil, err
	}
	if c.Standing != citizen.Living { // C-7
		return nil, ErrNotYours
	}
	whose, stranger := c.Citizen, ErrNotYours
	if s.Phase != None {
		whose, stranger = s.Citizen, ErrNotFound
	}
	if _, ok := agent(c.By, whose, c.Mandate, nil); !ok || whose != c.Citizen { // C-1
		return nil, stranger
	}
	var terms Terms
	var err error
	switch s.Phase {
	case None:
		if terms, err = withEnd(c.Terms, c.Until, c.At, c.Longest); err != nil {
			return nil, err
		}
	case IsRequested:
		if c.Renews != nil {
			return nil, ErrNotRenewable
		}
		if c.Terms.Consumer != "" || c.Terms.Purpose != "" || len(c.Terms.Documents)+len(c.Terms.Types) > 0 {
			return nil, ErrWider
		}
		if terms, err = s.Terms.narrowed(c.Terms, c.Until); err != nil {
			return nil, err
		}
	default:
		return nil, ErrAlreadyDecided
	}
	if old := c.Renews; old != nil && (old.GrantedAt.IsZero() || old.Terms.Consumer != terms.Consumer || old.Terms.Purpose != terms.Purpose) { // C-8
		return nil, ErrNotRenewable
	}
	types, err := terms.check(c.At, c.Longest, c.Held, c.Registrations) // C-2
	if err != nil {
		return nil, err
	}
	under, ok := agent(c.By, whose, c.Mandate, types) // C-1
	switch {
	case !ok:
		return nil, stranger
	case c.Shown.Text == "" || c.Shown.Language == "" || c.Shown.Version == "": // C-5
		return nil, ErrNotShown
	case c.Shown.Text != c.Registered:
		return nil, ErrOtherText
	}
	e := Granted{Consent: c.Consent, Citizen: whose, Terms: terms.cloned(), Mandate: under, At: c.At, Personal: &GrantedPersonal{Shown: c.Shown}}
	if len(terms.Documents) > 0 {
		slices.Sort(types)
		e.DocumentTypes = slices.Compact(types)
	}
	if c.Renews != nil {
		e.Renews = c.Renews.Consent
	}
	return []Event{e}, nil
}
