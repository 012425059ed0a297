package vocabulary

import (
	"coffre/domain"
	"coffre/domain/registry"
)

var (
	ErrUnknownPredicate = domain.NewError(domain.Invalid, "unknownPredicate", "the document type does not answer this question; predicates of the type in GET /registry are those it does")
	ErrUndecided        = domain.NewError(domain.Conflict, "predicateUndecided", "the document does not say what the answer needs")
)

// Predicate answers a yes-or-no question of a type from an opened content, as of
// a day. It refuses a question the type does not offer (ErrUnknownPredicate) and
// a content that lacks what is needed (ErrUndecided): absence is not "no". Where a date is
// known in part only, the answer is the one for each day that it may mean, or ErrUndecided.
func (v *View) Predicate(name domain.DocumentType, p registry.PredicateName, content domain.JSON, on domain.Date) (bool, error) {
	t := v.types[name]
	if t == nil {
		return false, ErrUnknownType
	}
	for _, offered := range t.Predicates {
		if offered.Name != p {
			continue
		}
		first, last, ok := span(content, offered.AgeAtLeast.Field)
		if !ok {
			return false, ErrUndecided
		}
		holds := hasLived(first, offered.AgeAtLeast.Years, on)
		if holds != hasLived(last, offered.AgeAtLeast.Years, on) {
			return false, ErrUndecided
		}
		return holds, nil
	}
	return false, ErrUnknownPredicate
}

// hasLived reports whether somebody born on a day has lived that many years on another.
func hasLived(born domain.Date, years int, on domain.Date) bool {
	return !on.Before(born.AddYears(years))
}

// BirthDate returns the day of birth that a content tells: the date from which
// the type's questions about age count; of a date that is known in part the
// first day that it may mean, so that what ends at an age ends no later than it
// should. ok is false when the type has no such question or the content no such
// date.
func (v *View) BirthDate(name domain.DocumentType, content domain.JSON) (born domain.Date, ok bool) {
	t := v.types[name]
	if t == nil || len(t.Predicates) == 0 {
		return "", false
	}
	born, _, ok = span(content, t.Predicates[0].AgeAtLeast.Field)
	return born, ok
}

// span reads a top-level date of an opened content, whole or known in part.
func span(content domain.JSON, field domain.Field) (first, last domain.Date, ok bool) {
	value, err := decode(content)
	if err != nil {
		return "", "", false
	}
	object, _ := value.(map[string]any)
	text, _ := object[string(field)].(string)
	first, last, err = domain.ParseSpan(text)
	return first, last, err == nil
}
