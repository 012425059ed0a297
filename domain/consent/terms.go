package consent

import (
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/registry"
)

// Bounds of terms. Those of C-2 that are law or policy are in its text; these
// keep streams and states small.
const (
	MaxDocuments = 50
	MaxTypes     = 20
	MaxFields    = 100
	MaxUses      = 1_000_000
	MaxFrequency = 1_000  // uses per period: their times are remembered
	MaxDataLife  = 36_500 // days
)

var (
	ErrTerms           = domain.NewError(domain.Invalid, "consentTerms", "a consent names a consumer, a purpose, and documents or types of document, each once")
	ErrPeriod          = domain.NewError(domain.Invalid, "consentPeriod", "a consent ends ahead, and not later than the longest time allowed")
	ErrLimits          = domain.NewError(domain.Invalid, "consentLimits", "a limit is out of range")
	ErrUnknownDocument = domain.NewError(domain.NotFound, "documentNotFound", "the citizen holds no such document")
	ErrNotRegistered   = domain.NewError(domain.Forbidden, "consumerNotRegistered", "this consumer may not ask for consent to read this for this purpose")
	ErrWider           = domain.NewError(domain.Invalid, "consentWider", "a request can be granted as asked or narrower, not wider")
)

// Held is a document the citizen holds.
type Held struct {
	Document domain.DocumentID
	Type     domain.DocumentType
}

// check implements C-2. Longest 0 means one year. Held are the citizen's
// documents that the terms name; it returns the types concerned.
func (t Terms) check(at time.Time, longest time.Duration, held []Held, registrations []registry.Registration) ([]domain.DocumentType, error) {
	last := at.AddDate(1, 0, 0)
	if longest > 0 {
		last = at.Add(longest)
	}
	l := t.Limits
	switch {
	case t.Consumer.IsZero() || t.Purpose == "" || (len(t.Documents) == 0) == (len(t.Types) == 0),
		!distinct(t.Documents, MaxDocuments) || !distinct(t.Types, MaxTypes) || !distinct(t.Fields, MaxFields):
		return nil, ErrTerms
	case !at.Before(t.Until) || last.Before(t.Until):
		return nil, ErrPeriod
	case l.Uses < 0 || l.Uses > MaxUses || l.DataLife < 0 || l.DataLife > MaxDataLife || !l.Frequency.sound():
		return nil, ErrLimits
	}
	types := slices.Clone(t.Types)
	for _, d := range t.Documents {
		i := slices.IndexFunc(held, func(h Held) bool { return h.Document == d })
		if i < 0 {
			return nil, ErrUnknownDocument
		}
		types = append(types, held[i].Type)
	}
	for _, name := range types {
		if !slices.ContainsFunc(registrations, func(r registry.Registration) bool {
			return r.Consent && r.Purpose == t.Purpose && slices.Contains(r.Types, name)
		}) {
			return nil, ErrNotRegistered
		}
	}
	return types, nil
}

// narrowed returns what was asked for with the choices of the grant put in, or a
// refusal where they would widen it. Without an end of its own it keeps the one asked for.
func (t Terms) narrowed(choice Terms, until *time.Time) (Terms, error) {
	if (choice.Until != time.Time{}) {
		return Terms{}, ErrTerms
	}
	out := t
	if len(choice.Fields) > 0 {
		for _, f := range choice.Fields {
			if len(t.Fields) > 0 && !slices.Contains(t.Fields, f) {
				return Terms{}, ErrWider
			}
		}
		out.Fields = choice.Fields
	}
	if until != nil {
		if t.Until.Before(*until) {
			return Terms{}, ErrWider
		}
		out.Until = *until
	}
	asked, chosen := t.Limits, choice.Limits
	if wider(asked.Uses, chosen.Uses) || wider(asked.DataLife, chosen.DataLife) || wider(asked.Frequency.Uses, chosen.Frequency.Uses) ||
		asked.Frequency.Uses > 0 && chosen.Frequency.Uses > 0 && chosen.Frequency.Per.length() < asked.Frequency.Per.length() {
		return Terms{}, ErrWider
	}
	if chosen.Uses > 0 {
		out.Limits.Uses = chosen.Uses
	}
	if chosen.DataLife > 0 {
		out.Limits.DataLife = chosen.DataLife
	}
	if chosen.Frequency != (Frequency{}) {
		out.Limits.Frequency = chosen.Frequency
	}
	return out, nil
}

// wider compares two limits of which 0 means none, and for the choice "as asked".
func wider(asked, chosen int) bool { return asked > 0 && chosen > asked }

func (f Frequency) sound() bool {
	return f == Frequency{} || f.Uses > 0 && f.Uses <= MaxFrequency && f.Per.length() > 0
}

// length returns how long the period is; 0 for an unknown one.
func (p Period) length() time.Duration {
	switch p {
	case Day:
		return 24 * time.Hour
	case Week:
		return 7 * 24 * time.Hour
	case Month:
		return 30 * 24 * time.Hour
	}
	return 0
}

func distinct[T comparable](list []T, most int) bool {
	var zero T
	for i, v := range list {
		if v == zero || slices.Contains(list[:i], v) {
			return false
		}
	}
	return len(list) <= most
}

// cloned returns terms that share no memory with t.
func (t Terms) cloned() Terms {
	t.Documents, t.Types, t.Fields = slices.Clone(t.Documents), slices.Clone(t.Types), slices.Clone(t.Fields)
	return t
}
