package consent

import (
	"fmt"
	"slices"
	"strconv"
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

// MaxDuration is how long a consent lasts at most, and one without an end of its own, where no
// shorter time is set; an ISO 8601 duration. lastEnd counts it.
const MaxDuration = "P1Y"

var (
	ErrTerms           = domain.NewError(domain.Invalid, "consentTerms", "a consent names a consumer, a purpose, and documents or types of document, each once")
	ErrPeriod          = domain.NewError(domain.Invalid, "consentPeriod", "a consent ends ahead, and not later than the longest time allowed, which longestConsent of GET /registry tells")
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

// lastEnd returns the latest end of a consent given or asked for at a moment. Longest 0 means
// MaxDuration.
func lastEnd(at time.Time, longest time.Duration) time.Time {
	if longest > 0 {
		return at.Add(longest)
	}
	return at.AddDate(1, 0, 0)
}

// check implements C-2. Longest 0 means MaxDuration. Held are the citizen's
// documents that the terms name; it returns the types concerned.
func (t Terms) check(at time.Time, longest time.Duration, held []Held, registrations []registry.Registration) ([]domain.DocumentType, error) {
	if causes := t.incomplete(); len(causes) > 0 {
		return nil, domain.Because(ErrTerms, causes...)
	}
	if last := lastEnd(at, longest); !at.Before(t.Until) || last.Before(t.Until) {
		within := MaxDuration
		if longest > 0 {
			within = longest.String()
		}
		return nil, domain.Because(ErrPeriod, domain.Cause{Of: "until", Expected: "ahead, and within " + within + ": not later than " + last.UTC().Format(time.RFC3339)})
	}
	if causes := t.Limits.outOfRange(); len(causes) > 0 {
		return nil, domain.Because(ErrLimits, causes...)
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

// incomplete returns what the terms lack, or name more than once.
func (t Terms) incomplete() (causes []domain.Cause) {
	if t.Consumer.IsZero() {
		causes = append(causes, domain.Cause{Of: "consumer", Expected: "who is going to read"})
	}
	if t.Purpose == "" {
		causes = append(causes, domain.Cause{Of: "purpose", Expected: "what it is read for"})
	}
	if (len(t.Documents) == 0) == (len(t.Types) == 0) {
		causes = append(causes, domain.Cause{Of: "documentTypes", Expected: "documents or types of document, one of both"})
	}
	return slices.Concat(causes, repeated("documents", t.Documents, MaxDocuments), repeated("documentTypes", t.Types, MaxTypes), repeated("fields", t.Fields, MaxFields))
}

// repeated returns what of a list is empty or stands there before, and the list itself when it
// is longer than the most.
func repeated[T comparable](list string, names []T, most int) (causes []domain.Cause) {
	if len(names) > most {
		return []domain.Cause{{Of: list, Expected: "at most " + strconv.Itoa(most)}}
	}
	var zero T
	for i, name := range names {
		if name == zero || slices.Contains(names[:i], name) {
			causes = append(causes, domain.Cause{Of: list + "/" + strconv.Itoa(i), Expected: "another than those before it: each stands once"})
		}
	}
	return causes
}

// outOfRange returns the limits that are no limits.
func (l Limits) outOfRange() (causes []domain.Cause) {
	within := func(of string, n, most int) {
		if n < 0 || n > most {
			causes = append(causes, domain.Cause{Of: of, Expected: "a whole number from 1 to " + strconv.Itoa(most)})
		}
	}
	within("limits/uses", l.Uses, MaxUses)
	within("limits/dataLife", l.DataLife, MaxDataLife)
	if f := l.Frequency; f != (Frequency{}) {
		if f.Uses == 0 {
			f.Uses = -1 // which a period needs
		}
		within("limits/frequency/uses", f.Uses, MaxFrequency)
		if f.Per.length() == 0 {
			causes = append(causes, domain.Cause{Of: "limits/frequency/per", Expected: fmt.Sprintf("%s, %s or %s", Day, Week, Month)})
		}
	}
	return causes
}

// narrowed returns what was asked for with the choices of the grant put in, or a
// refusal where they would widen it. Without an end of its own it keeps the one asked for.
func (t Terms) narrowed(choice Terms, until *time.Time) (Terms, error) {
	if (choice.Until != time.Time{}) {
		return Terms{}, ErrTerms
	}
	if causes := t.wider(choice, until); len(causes) > 0 {
		return Terms{}, domain.Because(ErrWider, causes...)
	}
	out, chosen := t, choice.Limits
	if len(choice.Fields) > 0 {
		out.Fields = choice.Fields
	}
	if until != nil {
		out.Until = *until
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

// wider returns what of a choice allows more than was asked for, each with what was. Of the
// limits 0 means none, and for the choice "as asked".
func (t Terms) wider(choice Terms, until *time.Time) (causes []domain.Cause) {
	for i, f := range choice.Fields {
		if len(t.Fields) > 0 && !slices.Contains(t.Fields, f) {
			causes = append(causes, domain.Cause{Of: "fields/" + strconv.Itoa(i), Expected: "a field that was asked for"})
		}
	}
	if until != nil && t.Until.Before(*until) {
		causes = append(causes, domain.Cause{Of: "until", Expected: "not later than asked for: " + t.Until.UTC().Format(time.RFC3339)})
	}
	asked, chosen := t.Limits, choice.Limits
	atMost := func(of string, asked, chosen int) {
		if asked > 0 && chosen > asked {
			causes = append(causes, domain.Cause{Of: of, Expected: "at most as asked for: " + strconv.Itoa(asked)})
		}
	}
	atMost("limits/uses", asked.Uses, chosen.Uses)
	atMost("limits/dataLife", asked.DataLife, chosen.DataLife)
	atMost("limits/frequency/uses", asked.Frequency.Uses, chosen.Frequency.Uses)
	if asked.Frequency.Uses > 0 && chosen.Frequency.Uses > 0 && chosen.Frequency.Per.length() < asked.Frequency.Per.length() {
		causes = append(causes, domain.Cause{Of: "limits/frequency/per", Expected: "no shorter period than asked for: " + string(asked.Frequency.Per)})
	}
	return causes
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

// cloned returns terms that share no memory with t.
func (t Terms) cloned() Terms {
	t.Documents, t.Types, t.Fields = slices.Clone(t.Documents), slices.Clone(t.Types), slices.Clone(t.Fields)
	return t
}
