package api

import (
	"encoding/json"
	"html"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/contract/texts"
	"coffre/handlers/edge"
)

func (tv *testVault) processingRegister(t testing.TB, lang domain.Language, format contract.ReportFormat) *httptest.ResponseRecorder {
	t.Helper()
	ctx := tv.as(t, officeCaller(domain.RolePrivacyOfficer), "getProcessingRegister", nil)
	edge.CallFrom(ctx).Language = lang
	answer, err := tv.GetProcessingRegister(ctx, contract.GetProcessingRegisterRequestObject{Params: contract.GetProcessingRegisterParams{Format: format}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := answer.VisitGetProcessingRegisterResponse(w); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTheRegisterOfProcessingIsTheRegistry: each type of document and each registration is an
// activity, with who is responsible, whose data, which, for whom, why and for how long.
func TestTheRegisterOfProcessingIsTheRegistry(t *testing.T) {
	tv := newVault(t)
	var got contract.ProcessingRegister
	if err := json.Unmarshal(tv.processingRegister(t, "nl", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	all := tv.Words.Current().Registry()
	if len(got.Keeping) != len(all.DocumentTypes) || len(got.Keeping) == 0 {
		t.Errorf("%d types are kept, of %d", len(got.Keeping), len(all.DocumentTypes))
	}
	for _, k := range got.Keeping {
		if len(k.Controllers) == 0 || k.Controllers[0].Email == "" || len(k.Subjects) == 0 || len(k.Categories) == 0 || k.RetentionYears < 1 || k.Rule == "" || k.Then == "" || k.RetentionFrom == "" {
			t.Errorf("what art. 30 asks of %s is not complete: %+v", k.DocumentType, k)
		}
	}
	registrations, granted := 0, map[string]bool{}
	for _, o := range all.Organisations {
		if !o.Retired {
			registrations += len(o.Registrations)
			for _, r := range o.Registrations {
				for _, name := range r.Types {
					granted[string(name)+" "+string(o.Number)] = true
				}
			}
		}
	}
	if len(got.Reading) != registrations || registrations == 0 {
		t.Errorf("%d readings of %d registrations", len(got.Reading), registrations)
	}
	for _, r := range got.Reading {
		if len(r.Controllers) != 1 || len(r.DocumentTypes) == 0 || len(r.Categories) == 0 || !r.Consent && len(r.Bases) == 0 {
			t.Errorf("what art. 30 asks of %s is not complete: %+v", r.Purpose, r)
		}
	}
	for _, k := range got.Keeping {
		for _, o := range k.Recipients {
			if !granted[string(k.DocumentType)+" "+string(o)] {
				t.Errorf("%s is no recipient of %s", o, k.DocumentType)
			}
			delete(granted, string(k.DocumentType)+" "+string(o))
		}
	}
	if len(granted) > 0 {
		t.Errorf("recipients are missing: %v", granted)
	}
	if len(got.Holdings) < 15 || got.Measures == "" {
		t.Errorf("%d kinds of holdings, measures %q", len(got.Holdings), got.Measures)
	}
}

// TestTheRegisterOfProcessingIsForPeople: every member and every code of it reads as words, in
// each language.
func TestTheRegisterOfProcessingIsForPeople(t *testing.T) {
	tv := newVault(t)
	doc, err := openapi3.NewLoader().LoadFromData(contract.YAML())
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range edge.Languages {
		w := tv.processingRegister(t, lang, contract.ReportFormatHTML)
		page := w.Body.String()
		for _, says := range []string{`<html lang="` + string(lang) + `"`, texts.Of(lang, "register.title"), texts.Of(lang, "section.holdings"), texts.Of(lang, "value.nationalNumbers"), "<h3>"} {
			if !strings.Contains(html.UnescapeString(page), says) {
				t.Errorf("%s: %q is not on the page", lang, says)
			}
		}
		if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %v", lang, w.Header())
		}
		for _, raw := range []string{"<dt>member.", "value.", "documentErased", "keyDatabase", "retentionYears"} {
			if strings.Contains(page, raw) {
				t.Errorf("%s: %s stands on the page as it is in the contract", lang, raw)
			}
		}
		for _, name := range []string{"ProcessingKeeping", "ProcessingReading", "ProcessingHolding", "ProcessingController", "RegistryBasis"} {
			for member := range doc.Components.Schemas[name].Value.Properties {
				if _, said := texts.Lookup(lang, "member."+member); !said {
					t.Errorf("%s: no text for member %s of %s", lang, member, name)
				}
			}
		}
		for enum, member := range map[string]string{"HoldingKind": "kind", "HoldingPlace": "places", "HoldingEnd": "end", "RetentionEnd": "then", "RetentionStart": "retentionFrom", "ProcessingSubject": "subjects"} {
			for _, value := range doc.Components.Schemas[enum].Value.Enum {
				_, own := texts.Lookup(lang, "value."+member+"."+value.(string))
				_, shared := texts.Lookup(lang, "value."+value.(string))
				if !own && !shared {
					t.Errorf("%s: no text for %s of %s", lang, value, enum)
				}
			}
		}
		if pdf := tv.processingRegister(t, lang, contract.ReportFormatPdf); !strings.HasPrefix(pdf.Body.String(), "%PDF-") {
			t.Errorf("%s: no PDF", lang)
		}
	}
}
