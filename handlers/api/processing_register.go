package api

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"coffre/domain"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/contract/report"
	"coffre/handlers/contract/texts"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// holdingsFile lists what the vault keeps where, under which key and until when. A test at the
// root holds it to the code and to docs/keys.md.
//
//go:embed processing_holdings.json
var holdingsFile []byte

// GetProcessingRegister implements GET /processingRegister: the register of processing (GDPR
// art. 30) that the registry in force makes, and what is kept where. It tells of nobody.
func (v *Vault) GetProcessingRegister(ctx context.Context, r contract.GetProcessingRegisterRequestObject) (contract.GetProcessingRegisterResponseObject, error) {
	words := v.Words.Current()
	if words.Version() == 0 {
		return nil, edge.ErrNoResource
	}
	lang := edge.CallFrom(ctx).Language
	made, err := processingRegister(words, lang, v.Now())
	if err != nil {
		return nil, err
	}
	return &registerAnswer{made, r.Params.Format, lang, words}, nil
}

// processingRegister makes the register of a version of the registry.
func processingRegister(words *vocabulary.View, lang domain.Language, now time.Time) (contract.ProcessingRegister, error) {
	made := contract.ProcessingRegister{
		CreatedAt: now.UTC(), RegistryVersion: words.Version(), Measures: texts.Of(lang, "register.measures"),
		Keeping: []contract.ProcessingKeeping{}, Reading: []contract.ProcessingReading{},
	}
	if err := json.Unmarshal(holdingsFile, &made.Holdings); err != nil {
		return made, fmt.Errorf("what is kept where: %w", err)
	}
	all := words.Registry()
	for _, t := range all.DocumentTypes {
		made.Keeping = append(made.Keeping, contract.ProcessingKeeping{
			Label: words.Label(vocabulary.DocumentTypes, string(t.Name), lang), DocumentType: t.Name, Controllers: controllers(words, lang, t.Issuers...),
			Subjects: []contract.ProcessingSubject{contract.ProcessingSubjectCitizen}, Categories: t.Categories, Recipients: recipients(all, t.Name),
			RetentionYears: t.Retention.Years, RetentionFrom: contract.RetentionStart(t.Retention.From), Rule: t.Retention.Rule,
			Then: retentionEnds[t.Retention.Then], LegalDuty: t.Retention.Duty,
		})
	}
	for _, o := range all.Organisations {
		if o.Retired {
			continue
		}
		for _, reg := range o.Registrations {
			made.Reading = append(made.Reading, contract.ProcessingReading{
				Label: words.Label(vocabulary.Purposes, string(reg.Purpose), lang), Purpose: reg.Purpose, Controllers: controllers(words, lang, o.Number),
				Subjects: []contract.ProcessingSubject{contract.ProcessingSubjectCitizen}, DocumentTypes: reg.Types, Categories: categoriesOf(words, reg.Types),
				Procedures: reg.Procedures, Consent: reg.Consent, Bases: baseItems(reg.Bases),
			})
		}
	}
	return made, nil
}

// controllers names organisations, with where to ask them.
func controllers(words *vocabulary.View, lang domain.Language, numbers ...domain.Organisation) []contract.ProcessingController {
	all := []contract.ProcessingController{}
	for _, number := range numbers {
		one := contract.ProcessingController{EnterpriseNumber: number, OrganizationName: words.Label(vocabulary.Organisations, string(number), lang)}
		if o, known := words.Organisation(number); known {
			one.Email, one.URL = o.Contact.Email, o.Contact.URL
		}
		all = append(all, one)
	}
	return all
}

// recipients are the organisations that may read a type of document, each once.
func recipients(all registry.Registry, name domain.DocumentType) []domain.Organisation {
	found := []domain.Organisation{}
	for _, o := range all.Organisations {
		if !o.Retired && slices.ContainsFunc(o.Registrations, func(r registry.Registration) bool { return slices.Contains(r.Types, name) }) {
			found = append(found, o.Number)
		}
	}
	return found
}

// categoriesOf are the categories of data of these types, each once.
func categoriesOf(words *vocabulary.View, types []domain.DocumentType) []domain.DataCategory {
	found := []domain.DataCategory{}
	for _, name := range types {
		if t, known := words.DocumentType(name); known {
			found = append(found, t.Categories...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// retentionEnds are the contract's words.
var retentionEnds = map[registry.Disposal]contract.RetentionEnd{registry.Destroy: contract.RetentionEndDestroy, registry.Archive: contract.RetentionEndArchive}

// registerAnswer is the register in the form that was asked for.
type registerAnswer struct {
	made   contract.ProcessingRegister
	format contract.ReportFormat // "" for JSON
	lang   domain.Language
	words  *vocabulary.View
}

// VisitGetProcessingRegisterResponse implements contract.GetProcessingRegisterResponseObject.
func (a *registerAnswer) VisitGetProcessingRegisterResponse(w http.ResponseWriter) error {
	var plain, out bytes.Buffer
	if err := wire.NewEncoder(&plain).Encode(a.made); err != nil {
		return err
	}
	form := report.Form{Language: a.lang, Label: a.label, Title: "register.title", Made: "register.made", Sections: []string{"keeping", "reading", "holdings", "measures"}}
	var err error
	switch a.format {
	case contract.ReportFormatHTML:
		err = report.Page(&out, &plain, form)
	case contract.ReportFormatPdf:
		err = report.PDF(&out, &plain, form)
	default:
		out = plain
	}
	if err != nil {
		return fmt.Errorf("register of processing: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", reportTypes[a.format])
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="register-%d.%s"`, a.made.RegistryVersion, cmp.Or(a.format, contract.ReportFormatJSON)))
	if a.format == contract.ReportFormatHTML {
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'")
	}
	_, err = out.WriteTo(w)
	return err
}

// label returns what the registry calls a code that stands in a member of the register.
func (a *registerAnswer) label(member, code string) string {
	for _, list := range registerWords[member] {
		if said := a.words.Label(list, code, a.lang); said != code {
			return said
		}
	}
	return code
}

// registerWords are the lists of the registry that have the codes of a member.
var registerWords = map[string][]vocabulary.WordList{
	"documentType": {vocabulary.DocumentTypes}, "documentTypes": {vocabulary.DocumentTypes}, "recipients": {vocabulary.Organisations},
	"purpose": {vocabulary.Purposes}, "procedures": {vocabulary.Procedures}, "legalBasis": {vocabulary.LegalBases},
	"categories": {vocabulary.DataCategories}, "rule": {vocabulary.Reasons(registry.ReasonRetention)},
}
