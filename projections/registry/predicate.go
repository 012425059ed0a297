package registry

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
		value, err := decode(content)
		if err != nil {
			return false, ErrUndecided
		}
		object, _ := value.(map[string]any)
		text, _ := object[string(offered.AgeAtLeast.Field)].(string)
		born, err := domain.ParseDate(text)
		if err != nil {
			return false, ErrUndecided
		}
		if on.Before(born) {
			return false, nil
		}
		return !on.Before(born.AddYears(offered.AgeAtLeast.Years)), nil
	}
	return false, ErrUnknownPredicate
}
