package registry

import (
	"errors"
	"fmt"

	"coffre/domain"
)

var (
	ErrNotAllowed = domain.NewError(domain.Forbidden, "registryNotAllowed", "only an operator publishes the registry")
	ErrVersion    = domain.NewError(domain.Stale, "registryVersion", "the version to publish is the one after the version in force")
	ErrRemoved    = domain.NewError(domain.Conflict, "registryWordRemoved", "what was once published can be retired but not removed, and validity that is personal stays so")
)

// Publish asks to put a registry in force.
type Publish struct {
	Version  domain.RegistryVersion // the version in force plus one
	Registry Registry

	By domain.Actor // who asks: an operator, or Coffre itself on an empty log
}

// Published records that from here on these words are in force. Nothing in it is personal.
type Published struct {
	Version  domain.RegistryVersion `json:"version"`
	Registry Registry               `json:"registry"`
}

func (Published) registryEvent() {}

// Decide implements the rules. A refusal names the place in the
// registry in the text around it; what is refused matches with errors.Is.
func (c Publish) Decide(s State) ([]Event, error) {
	if c.By.Role != domain.RoleOperator && (c.By.Role != domain.RoleSystem || s.Version != 0) {
		return nil, ErrNotAllowed
	}
	if s.Version != 0 && c.Registry.Equal(s.Registry) { // nothing new, whatever version was meant
		return nil, nil
	}
	if c.Version != s.Version+1 {
		return nil, ErrVersion
	}
	mistakes := append(Check(c.Registry), removed(s.Registry, c.Registry)...)
	mistakes = append(mistakes, CheckTexts(c.Registry)...)
	if len(mistakes) > 0 {
		return nil, joined(mistakes)
	}
	return []Event{Published{c.Version, c.Registry}}, nil
}

func joined(mistakes []Mistake) error {
	errs := make([]error, len(mistakes))
	for i, m := range mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

// removed implements for the words of a published text: documents, consents and accesses on record use these
// words for ever, and a date once thought personal is never written in clear.
func removed(old, next Registry) []Mistake {
	var c checker
	now := index(next)
	for place := range index(old) {
		if !now[place] {
			c.add(place, ErrRemoved, "is gone")
		}
	}
	personal := make(map[domain.DocumentType]bool)
	for _, t := range old.DocumentTypes {
		personal[t.Name] = t.ValidityIsPersonal
	}
	for _, t := range next.DocumentTypes {
		if personal[t.Name] && !t.ValidityIsPersonal {
			c.add(Place{ListDocumentTypes, string(t.Name)}, ErrRemoved, "validityIsPersonal is taken back")
		}
	}
	texts := make(map[Place]Labels)
	for _, t := range old.ConsentTexts {
		texts[t.place()] = t.Texts
	}
	for _, t := range next.ConsentTexts {
		if was, published := texts[t.place()]; published && was != t.Texts {
			c.add(t.place(), ErrText, "the words of a published version are changed; publish them as another version")
		}
	}
	return c.sorted()
}

// index returns the set of all places that words stand at.
func index(r Registry) map[Place]bool {
	all := make(map[Place]bool)
	for _, list := range words(r) {
		for _, w := range list {
			all[w.place] = true
		}
	}
	for _, t := range r.DocumentTypes {
		for _, p := range t.Predicates {
			all[Place{ListDocumentTypes, fmt.Sprintf("%s/%s", t.Name, p.Name)}] = true
		}
	}
	return all
}
