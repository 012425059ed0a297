// Package vocabulary answers which words are valid now: what a type of document
// is, whether a content fits it, who may issue it, who may read it and why, and
// how to call it all in the reader's language.
//
// A View is compiled from one published registry and never changes. A Holder
// keeps the newest, so that every process serves the highest version in the log.
//
// Invariant: nothing a content holds, neither a value nor the name of a member
// that the schema does not declare, appears in what this package answers when it
// refuses one.
package vocabulary

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"coffre/domain"
	"coffre/domain/registry"
)

// MaxEncoded is how many bytes of JSON a registry may have: what fits into one
// event with room for its envelope.
const MaxEncoded = 400 << 10

var (
	ErrTooLarge = domain.NewError(domain.Invalid, "registryTooLarge", "a registry has at most 400 KiB of JSON")
	ErrSchema   = domain.NewError(domain.Invalid, "registrySchema", "a schema is JSON Schema 2020-12, closed, in the part of it that is allowed, and declares every field that is named elsewhere")
)

// View is one published registry, ready to answer. Its methods may be called
// concurrently. What they return is shared and must not be changed. The zero
// View knows no word and allows nothing.
type View struct {
	version domain.RegistryVersion
	all     registry.Registry
	types   map[domain.DocumentType]*documentType
	orgs    map[domain.Organisation]*registry.Organisation
	words   map[wordKey]wordFacts

	purposes   map[domain.Purpose]*registry.Purpose
	procedures map[domain.Procedure]*registry.Procedure
	bases      map[domain.LegalBasis]*registry.LegalBasis
}

type documentType struct {
	registry.DocumentType
	schema *contentSchema
}

type wordKey struct{ kind, code string }

type wordFacts struct {
	labels  registry.Labels
	retired bool
}

// Compile makes a View of what was published. It refuses what no process could
// serve: an unusable schema (ErrSchema), too large a registry (ErrTooLarge), and
// what breaks the domain's own rules. All mistakes are joined. Whoever publishes
// compiles first, so that no process meets a registry it cannot serve.
func Compile(p registry.Published) (*View, error) {
	v := &View{
		version:    p.Version,
		all:        p.Registry,
		types:      make(map[domain.DocumentType]*documentType),
		orgs:       make(map[domain.Organisation]*registry.Organisation),
		purposes:   make(map[domain.Purpose]*registry.Purpose),
		procedures: make(map[domain.Procedure]*registry.Procedure),
		bases:      make(map[domain.LegalBasis]*registry.LegalBasis),
		words:      make(map[wordKey]wordFacts),
	}
	var mistakes []error
	for _, m := range registry.Check(p.Registry) {
		mistakes = append(mistakes, m)
	}
	if encoded, err := json.Marshal(p.Registry); err != nil {
		mistakes = append(mistakes, fmt.Errorf("encode the registry: %w", err))
	} else if len(encoded) > MaxEncoded {
		mistakes = append(mistakes, ErrTooLarge)
	}
	for i := range v.all.DocumentTypes {
		t := &documentType{DocumentType: v.all.DocumentTypes[i]}
		if len(t.Schema) > 0 { // an absent one was told by Check
			var err error
			if t.schema, err = compileType(&t.DocumentType); err != nil {
				mistakes = append(mistakes, err)
			}
		}
		v.types[t.Name] = t
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	v.index()
	return v, nil
}

func (v *View) index() {
	for i, o := range v.all.Organisations {
		v.orgs[o.Number] = &v.all.Organisations[i]
		v.words[wordKey{"organisations", string(o.Number)}] = wordFacts{o.Names, o.Retired}
	}
	for _, t := range v.all.DocumentTypes {
		v.words[wordKey{"documentTypes", string(t.Name)}] = wordFacts{t.Labels, t.Retired}
		for _, p := range t.Predicates {
			v.words[wordKey{"predicates", string(p.Name)}] = wordFacts{p.Labels, t.Retired}
		}
	}
	for i, p := range v.all.Procedures {
		v.procedures[p.Code] = &v.all.Procedures[i]
		v.words[wordKey{"procedures", string(p.Code)}] = wordFacts{p.Labels, p.Retired}
	}
	for i, p := range v.all.Purposes {
		v.purposes[p.Code] = &v.all.Purposes[i]
		v.words[wordKey{"purposes", string(p.Code)}] = wordFacts{p.Labels, p.Retired}
	}
	for _, f := range v.all.Finalities {
		v.words[wordKey{"finalities", string(f.Code)}] = wordFacts{f.Labels, f.Retired}
	}
	for i, b := range v.all.LegalBases {
		v.bases[b.Code] = &v.all.LegalBases[i]
		v.words[wordKey{"legalBases", string(b.Code)}] = wordFacts{b.Labels, b.Retired}
	}
	for _, c := range v.all.Categories {
		v.words[wordKey{"dataCategories", string(c.Code)}] = wordFacts{c.Labels, c.Retired}
	}
	for _, r := range v.all.Reasons {
		v.words[wordKey{string(Reasons(r.Kind)), string(r.Code)}] = wordFacts{r.Labels, r.Retired}
	}
	for _, l := range v.all.Languages {
		v.words[wordKey{"languages", string(l.Code)}] = wordFacts{l.Labels, false}
	}
}

// Version returns the version in force; 0 when none was published.
func (v *View) Version() domain.RegistryVersion { return v.version }

// Registry returns everything that the view was compiled from.
func (v *View) Registry() registry.Registry { return v.all }

// DocumentType returns a type by its name, retired or not (rule D-5: an unknown
// one is refused).
func (v *View) DocumentType(name domain.DocumentType) (*registry.DocumentType, bool) {
	t, ok := v.types[name]
	if !ok {
		return nil, false
	}
	return &t.DocumentType, true
}

// Organisation returns an organisation by its number, retired or not.
func (v *View) Organisation(o domain.Organisation) (*registry.Organisation, bool) {
	org, ok := v.orgs[o]
	return org, ok
}

// Purpose returns a purpose by its code, retired or not.
func (v *View) Purpose(code domain.Purpose) (*registry.Purpose, bool) {
	p, ok := v.purposes[code]
	return p, ok
}

// Procedure returns a procedure by its code, retired or not.
func (v *View) Procedure(code domain.Procedure) (*registry.Procedure, bool) {
	p, ok := v.procedures[code]
	return p, ok
}

// LegalBasis returns a ground in law by its code, retired or not.
func (v *View) LegalBasis(code domain.LegalBasis) (*registry.LegalBasis, bool) {
	b, ok := v.bases[code]
	return b, ok
}

// Category returns a category of personal data by its code, retired or not.
func (v *View) Category(code domain.DataCategory) (*registry.Category, bool) {
	i := slices.IndexFunc(v.all.Categories, func(c registry.Category) bool { return c.Code == code })
	if i < 0 {
		return nil, false
	}
	return &v.all.Categories[i], true
}

// Reason reports whether a reason of that kind may be given now.
func (v *View) Reason(kind registry.ReasonKind, code domain.ReasonCode) bool {
	w, ok := v.words[wordKey{string(Reasons(kind)), string(code)}]
	return ok && !w.retired
}

// Retention returns how long documents of the type are kept; false for an unknown type.
func (v *View) Retention(name domain.DocumentType) (registry.Retention, bool) {
	t, ok := v.types[name]
	if !ok {
		return registry.Retention{}, false
	}
	return t.Retention, true
}

// MayIssue reports whether the organisation may issue new documents of the type.
// What it issued before, it may update, suspend and revoke whatever this says
// (rule D-1).
func (v *View) MayIssue(o domain.Organisation, name domain.DocumentType) bool {
	org, t := v.orgs[o], v.types[name]
	return org != nil && t != nil && !org.Retired && !t.Retired && slices.Contains(t.Issuers, o)
}

// Issues returns the types an organisation may issue.
func (v *View) Issues(o domain.Organisation) []domain.DocumentType {
	var all []domain.DocumentType
	for _, t := range v.all.DocumentTypes {
		if v.MayIssue(o, t.Name) {
			all = append(all, t.Name)
		}
	}
	return all
}

// Registrations returns what a consumer is registered for, less all that is retired:
// the consumer, a purpose, a legal basis (rules A-4 and C-2).
func (v *View) Registrations(consumer domain.Organisation) []registry.Registration {
	org := v.orgs[consumer]
	if org == nil || org.Retired {
		return nil
	}
	var inUse []registry.Registration
	for _, r := range org.Registrations {
		if p := v.purposes[r.Purpose]; p == nil || p.Retired {
			continue
		}
		r.Bases = slices.DeleteFunc(slices.Clone(r.Bases), func(b registry.Basis) bool {
			basis := v.bases[b.LegalBasis]
			return basis == nil || basis.Retired
		})
		inUse = append(inUse, r)
	}
	return inUse
}

// ConsentText returns the text that a citizen is shown in a language before they consent that
// an organisation reads for a purpose, filled in (rule C-5); "" when the registry has no such
// version of it, or has retired it.
func (v *View) ConsentText(purpose domain.Purpose, consumer domain.Organisation, lang domain.Language, version string) string {
	for _, t := range v.all.ConsentTexts {
		if t.Purpose != purpose || t.Version != version || t.Retired {
			continue
		}
		if _, spoken := v.words[wordKey{string(Languages), string(lang)}]; !spoken {
			return ""
		}
		return registry.ShownText(In(t.Texts, lang), v.Label(Organisations, string(consumer), lang), v.Label(Purposes, string(purpose), lang))
	}
	return ""
}

// ProcedureInUse reports whether something may be asked for in the procedure now.
func (v *View) ProcedureInUse(code domain.Procedure) bool {
	p := v.procedures[code]
	return p != nil && !p.Retired
}

// LegalBasisInUse reports whether the registry has the legal basis and it is not retired.
func (v *View) LegalBasisInUse(code domain.LegalBasis) bool {
	b := v.bases[code]
	return b != nil && !b.Retired
}

// Quota returns how many distinct citizens the organisation may read per day
// (rule A-7); 0 for one that is unknown or retired.
func (v *View) Quota(o domain.Organisation) int {
	if org := v.orgs[o]; org != nil && !org.Retired {
		return org.DailyQuota
	}
	return 0
}
