package access

import (
	"testing"

	"coffre/domain"
	"coffre/domain/investigation"
	"coffre/domain/registry"
)

// of the words of a request the widest is named that no registration has with those
// before it; words of two registrations do not add up.
func TestLackingNamesTheWidestWord(t *testing.T) {
	one := registry.Registration{Purpose: "loan", Types: []domain.DocumentType{"diploma"}, Procedures: []domain.Procedure{"credit"}, Bases: []registry.Basis{{LegalBasis: "law", Deliberation: "1"}}}
	two := registry.Registration{Purpose: "loan", Types: []domain.DocumentType{"isiPlusCard"}, Bases: []registry.Basis{{LegalBasis: "law", Deliberation: "2"}}}
	good := AuthorizeByLaw{LegalBasis: "law", Deliberation: "1", Registrations: []registry.Registration{two, one},
		Question: Question{Purpose: "loan", Procedure: "credit", Type: registry.DocumentType{Name: "diploma"}}}
	for want, change := range map[Word]func(*AuthorizeByLaw){
		"":                func(*AuthorizeByLaw) {},
		WordPurpose:       func(c *AuthorizeByLaw) { c.Purpose, c.LegalBasis = "tax", "other" },
		WordLegalBasis:    func(c *AuthorizeByLaw) { c.LegalBasis, c.Deliberation = "other", "3" },
		WordDeliberation:  func(c *AuthorizeByLaw) { c.Deliberation, c.Procedure = "3", "other" },
		WordProcedure:     func(c *AuthorizeByLaw) { c.Deliberation = "2" },
		WordDocumentType:  func(c *AuthorizeByLaw) { c.Type.Name = "isiPlusCard" },
		WordInvestigation: func(c *AuthorizeByLaw) { c.Investigation = new(investigation.State{}) },
	} {
		c := good
		change(&c)
		if got := c.Lacking(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if c := (AuthorizeByLaw{}); c.Lacking() != WordPurpose {
		t.Errorf("of no registration: %q", c.Lacking())
	}
	if good.Registrations[0].Bases[0].Deliberation != "2" || good.Registrations[1].Bases[0].Deliberation != "1" {
		t.Errorf("the registrations were changed: %v", good.Registrations)
	}
}
