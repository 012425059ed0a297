package registry

import (
	"bytes"
	"slices"
)

// Equal reports whether both say the same. An absent list equals an empty one.
func (r Registry) Equal(o Registry) bool {
	return slices.EqualFunc(r.Organisations, o.Organisations, Organisation.equal) &&
		slices.EqualFunc(r.DocumentTypes, o.DocumentTypes, DocumentType.equal) &&
		slices.Equal(r.Procedures, o.Procedures) &&
		slices.EqualFunc(r.Purposes, o.Purposes, Purpose.equal) &&
		slices.Equal(r.Finalities, o.Finalities) &&
		slices.Equal(r.LegalBases, o.LegalBases) &&
		slices.Equal(r.Categories, o.Categories) &&
		slices.Equal(r.Reasons, o.Reasons) &&
		slices.Equal(r.Languages, o.Languages) &&
		slices.Equal(r.ConsentTexts, o.ConsentTexts) &&
		r.Settings == o.Settings
}

func (a Organisation) equal(b Organisation) bool {
	return a.Number == b.Number && a.Names == b.Names && a.Contact == b.Contact &&
		slices.EqualFunc(a.Registrations, b.Registrations, Registration.equal) &&
		slices.Equal(a.Attests, b.Attests) && a.DailyQuota == b.DailyQuota && a.Retired == b.Retired
}

func (a Registration) equal(b Registration) bool {
	return a.Purpose == b.Purpose && slices.Equal(a.Types, b.Types) &&
		slices.Equal(a.Procedures, b.Procedures) && slices.Equal(a.Bases, b.Bases) && a.Consent == b.Consent
}

func (a DocumentType) equal(b DocumentType) bool {
	return a.Name == b.Name && a.Labels == b.Labels && a.Descriptions == b.Descriptions &&
		slices.Equal(a.Categories, b.Categories) && slices.Equal(a.Issuers, b.Issuers) &&
		bytes.Equal(a.Schema, b.Schema) && a.Retention == b.Retention &&
		a.ValidityIsPersonal == b.ValidityIsPersonal && a.Holders == b.Holders &&
		slices.EqualFunc(a.Minimum, b.Minimum, Minimum.equal) &&
		slices.Equal(a.Predicates, b.Predicates) && a.Retired == b.Retired
}

func (a Minimum) equal(b Minimum) bool {
	return a.Purpose == b.Purpose && a.Procedure == b.Procedure &&
		slices.Equal(a.Fields, b.Fields) && slices.Equal(a.Predicates, b.Predicates)
}

func (a Purpose) equal(b Purpose) bool {
	return a.Code == b.Code && a.Labels == b.Labels && slices.Equal(a.Finalities, b.Finalities) && a.Retired == b.Retired
}
