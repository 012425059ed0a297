package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/contract"
)

// The report of everything comes from the API in the form and the language that were asked for.
func TestAReportIsHandedOn(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	if missing := lacks(s.page(c, "/data", speaking("en")), "Everything that the vault holds about you", "Report as PDF", "/erase", "/preferences", "/petitions"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	s.answers["/citizens/"+me+"/subjectAccessReport"] = map[string]string{"the": "report"}
	resp := s.send(c, "/data/report", url.Values{"format": {"pdf"}, "key": {someKey}, "of": {child}}, speaking("de"))
	if body := s.text(resp); resp.StatusCode != http.StatusOK || strings.TrimSpace(body) != `{"the":"report"}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if want := "/citizens/" + me + "/subjectAccessReport " + someKey + ` {"format":"pdf","lang":"de"}`; len(s.did) != 1 || s.did[0] != want {
		t.Errorf("did %q", s.did)
	}
}

// Before somebody asks for an erasure they read what it does and what stays; afterwards, how far
// it is, and which duty stopped it.
func TestAnErasureSaysWhatStays(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	if missing := lacks(s.page(c, "/erase", speaking("en")), "You ask to erase everything", "Nobody erases alone.", "What stays:", "What the law obliges to keep"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if missing := lacks(s.page(c, "/erase?document="+one.String(), speaking("en")), "You ask to erase this one document.", one.String()); missing != nil {
		t.Errorf("of a document the page lacks %q", missing)
	}
	found := contract.Erasure{
		ErasureID: domain.ErasureID{UUID: one}, Scope: contract.ErasureScopeDocument, State: contract.ErasureStateStopped, RequestedAt: s.now, StoppedAt: s.now,
		Duties: []contract.DutyToKeep{{DocumentType: "diploma", Rule: "archivesAct"}}, Certificate: "/vault/v1/erasures/x/certificate",
	}
	s.answers["/erasures"], s.answers["/erasures/"+one.String()] = found, found
	s.answers["/registry"] = contract.Registry{
		DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "diploma", Labels: contract.MultiLanguage{En: "Diploma"}, Issuers: []contract.EnterpriseNumber{}}},
		Organizations: []contract.RegistryOrganization{}, Purposes: []contract.RegistryCode{}, Reasons: []contract.RegistryReason{{Code: "archivesAct", Labels: contract.MultiLanguage{En: "Archives Act"}}},
	}
	for form, body := range map[string]string{
		"":           `{"citizenId":"` + me + `","reason":"citizenRequest","scope":"citizen"}`,
		one.String(): `{"citizenId":"` + me + `","documentId":"` + one.String() + `","reason":"citizenRequest","scope":"document"}`,
	} {
		s.did = nil
		resp := s.send(c, "/erase", url.Values{"document": {form}, "key": {someKey}})
		if resp.Header.Get("Location") != "/erasures/"+one.String()+"?at=seen" || len(s.did) != 1 || s.did[0] != "/erasures "+someKey+" "+body {
			t.Errorf("%d, did %q", resp.StatusCode, s.did)
		}
	}
	if missing := lacks(s.page(c, "/erasures/"+one.String(), speaking("en")), one.String(), "stopped", "one document", "Diploma, because of: Archives Act", "/erasures/"+one.String()+"/certificate"); missing != nil {
		t.Errorf("how far it is lacks %q", missing)
	}
	s.answers["/erasures/"+one.String()+"/certificate"] = map[string]string{"signed": "yes"}
	if resp := s.browser(http.MethodGet, "/erasures/"+one.String()+"/certificate", nil, with(c)); !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(s.text(resp), "signed") {
		t.Errorf("the certificate: %d", resp.StatusCode)
	}
}

// What somebody chose to hear of is shown as it is, and kept as it was sent.
func TestPreferencesAreKept(t *testing.T) {
	s := newSite(t)
	c, path := s.signIn(), "/citizens/"+me+"/preferences"
	s.answers[path] = contract.Preferences{DocumentNotices: "eboxEach", ExpiryNotices: "eboxEach", AccessNotices: "eboxDaily", ConsentNotices: "none", Language: "fr"}
	body := s.page(c, "/preferences", speaking("en"))
	for _, chosen := range []string{`name="accessNotices" value="eboxDaily" checked`, `name="consentNotices" value="none" checked`, `name="language" value="fr" checked`, "You have chosen nothing yet."} {
		if !strings.Contains(body, chosen) {
			t.Errorf("the page lacks %s", chosen)
		}
	}
	if strings.Count(body, " checked") != 5 {
		t.Errorf("%d are chosen", strings.Count(body, " checked"))
	}
	resp := s.send(c, "/preferences", url.Values{"documentNotices": {"none"}, "expiryNotices": {"eboxEach"}, "accessNotices": {"eboxEach"}, "consentNotices": {"eboxEach"}, "language": {"de"}, "key": {someKey}})
	want := path + " " + someKey + ` {"accessNotices":"eboxEach","consentNotices":"eboxEach","documentNotices":"none","expiryNotices":"eboxEach","language":"de"}`
	if resp.Header.Get("Location") != "/preferences?at=seen" || len(s.did) != 1 || s.did[0] != want {
		t.Errorf("%d, did %q", resp.StatusCode, s.did)
	}
}

// What is done to all of somebody's data is for themselves: never in another's name.
func TestNobodyErasesInAnothersName(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	s.answers["/erasures"] = contract.Erasure{ErasureID: domain.ErasureID{UUID: one}}
	s.send(c, "/erase", url.Values{"of": {child}, "key": {someKey}})
	if len(s.did) != 1 || !strings.Contains(s.did[0], me) || strings.Contains(s.did[0], child) {
		t.Errorf("did %q", s.did)
	}
}

// Everybody reads how accessible the pages are, from every page.
func TestAccessibilityIsStated(t *testing.T) {
	s := newSite(t)
	for lang, want := range map[string]string{"nl": "WCAG 2.2, niveau AA", "fr": "WCAG 2.2, niveau AA", "de": "WCAG 2.2, Stufe AA", "en": "WCAG 2.2, level AA"} {
		resp := s.browser(http.MethodGet, "/accessibility", nil, speaking(lang))
		if missing := lacks(s.text(resp), want, "accessibility.belgium.be"); resp.StatusCode != http.StatusOK || missing != nil {
			t.Errorf("%s: %d, it lacks %q", lang, resp.StatusCode, missing)
		}
	}
	for _, path := range []string{"/signin", "/signedout", "/wallet/nowhere"} {
		if !strings.Contains(s.text(s.browser(http.MethodGet, path, nil)), `href="/accessibility"`) {
			t.Errorf("%s leads not there", path)
		}
	}
}
