package vocabulary

import (
	"coffre/domain"
	"coffre/domain/registry"
)

var (
	ErrUnknownPredicate = domain.NewError(domain.Invalid, "unknownPredicate", "the document type does not answer this question")
	ErrUndecided        = domain.NewError(domain.Conflict, "predicateUndecided", "the document does not say what the answer needs")
)

// Predicate answers a yes-or-no question of a type from an opened content, as of
// a day. It refuses a question the type does not offer (ErrUnknownPredicate) and
// a content that lacks what is needed (ErrUndecided): absence is not "no".
func (v *View) Predicate(name domain.DocumentType, p registry.PredicateName, content domain.JSON, on domain.Date) (bool, error) {
	t := v.types[name]
	if t == nil {
		return false, ErrUnknownType
	}
	for _, offered := range t.Predicates {
		if offered.Name != p {
			continue
		}
		born, ok := date(content, offered.AgeAtLeast.Field)
		if !ok {
			return false, ErrUndecided
		}
		if on.Before(born) {
			return false, nil
		}
		return !on.Before(born.AddYears(offered.AgeAtLeast.Years)), nil
	}
	return false, ErrUnknownPredicate
}

// BirthDate returns the day of birth that a content tells: the date from which
// the type's questions about age count. ok is false when the type has no such
// question or the content no such date.
func (v *View) BirthDate(name domain.DocumentType, content domain.JSON) (born domain.Date, ok bool) {
	t := v.types[name]
	if t == nil || len(t.Predicates) == 0 {
		return "", false
	}
	return date(content, t.Predicates[0].AgeAtLeast.Field)
}

// date reads a top-level date of an opened content.
func date(content domain.JSON, field domain.Field) (domain.Date, bool) {
	value, err := decode(content)
	if err != nil {
		return "", false
	}
	object, _ := value.(map[string]any)
	text, _ := object[string(field)].(string)
	d, err := domain.ParseDate(text)
	return d, err == nil
}
