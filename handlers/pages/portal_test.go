package pages_test

import (
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
	"coffre/handlers/pages"
	"coffre/projections/vocabulary"
)

// portal returns the page for developers at an address, asked by nobody in particular.
func (s *site) portal(target string, change ...func(*http.Request)) (string, *http.Response) {
	s.t.Helper()
	resp := s.browser(http.MethodGet, target, nil, change...)
	if resp.StatusCode != http.StatusOK {
		s.t.Errorf("%s: %d", target, resp.StatusCode)
	}
	return s.text(resp), resp
}

var portalLink = regexp.MustCompile(`href="(/doc[^"]*)"`)

// Whoever is logged in nowhere reads what every operation of the contract takes and answers, who
// may call it and how often; every schema that is named there has its page, and no page asks the API
// for more than the registry.
func TestThePortalShowsEveryOperation(t *testing.T) {
	s := newSite(t)
	s.pages.Limits = func(operation string, _ []domain.Role, writes bool) []pages.Limit {
		if operation == "grantMandate" && writes {
			return []pages.Limit{{What: "mandates that nobody accepted", Until: "it is accepted", Bounds: []string{"caller 20"}}}
		}
		return nil
	}
	index, _ := s.portal("/doc")
	calls := apitest.Calls(t, contract.YAML())
	if len(calls) < 100 {
		t.Fatalf("%d operations", len(calls))
	}
	for _, c := range calls {
		at := "/doc/operations/" + c.OperationID
		if !strings.Contains(index, `"`+at+`"`) {
			t.Errorf("the index does not lead to %s", at)
		}
		page, _ := s.portal(at)
		wanted := []string{c.Method + " " + strings.SplitN(c.Pattern, " ", 2)[1], c.Summary}
		wanted = append(wanted, c.Roles...)
		for _, p := range c.Parameters {
			wanted = append(wanted, p.Value.Name)
		}
		if missing := lacks(page, wanted...); missing != nil {
			t.Errorf("%s lacks %q", at, missing)
		}
	}
	if page, _ := s.portal("/doc/operations/grantMandate"); lacks(page, "mandates that nobody accepted", "caller 20") != nil {
		t.Error("the page tells no budget")
	}
	seen, waiting := map[string]bool{}, []string{"/doc", "/doc/operations/grantMandate", "/doc/operations/accessDocument"}
	for len(waiting) > 0 {
		at := waiting[0]
		waiting = waiting[1:]
		if seen[at] || at == "/doc/openapi.yaml" {
			continue
		}
		seen[at] = true
		page, _ := s.portal(at)
		for _, found := range portalLink.FindAllStringSubmatch(page, -1) {
			waiting = append(waiting, html.UnescapeString(found[1]))
		}
	}
	if len(seen) < 300 {
		t.Errorf("%d pages lead to each other", len(seen))
	}
	for _, asked := range s.asked {
		if asked != contract.Base+"/registry " {
			t.Errorf("the API was asked %q", asked)
		}
	}
	for _, nothing := range []string{"/doc/operations/none", "/doc/schemas/none", "/doc/types/none", "/doc/none"} {
		if resp := s.browser(http.MethodGet, nothing, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", nothing, resp.StatusCode)
		}
	}
	if to := s.browser(http.MethodGet, "/doc/openapi.yaml", nil); to.Header.Get("Location") != contract.Base+"/doc/openapi.yaml" {
		t.Errorf("the contract is at %q", to.Header.Get("Location"))
	}
}

// The pages for developers run one script of ours, where a request is tried out; it reaches this
// host alone, and the browser by itself sends nothing of what was filled in.
func TestThePortalRunsOneScript(t *testing.T) {
	s := newSite(t)
	for target, scripted := range map[string]bool{"/doc": false, "/doc/connect": false, "/doc/problems": false, "/doc/schemas/Problem": false, "/doc/operations/issueDocument": true} {
		page, resp := s.portal(target)
		csp := resp.Header.Get("Content-Security-Policy")
		if has := strings.Contains(csp, "script-src 'self'; connect-src 'self'"); has != scripted || strings.Contains(page, "<script") != scripted || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %q", target, csp)
		}
	}
	page, _ := s.portal("/doc/operations/issueDocument")
	form := regexp.MustCompile(`(?s)<form id="try".*?</form>`).FindString(page)
	if form == "" || strings.Contains(form, " name=") || strings.Contains(form, " action=") || !strings.Contains(form, "hidden") {
		t.Errorf("the form: %s", form)
	}
	script := s.text(s.browser(http.MethodGet, regexp.MustCompile(`/assets/try-\w+\.js`).FindString(page), nil))
	for _, word := range []string{"localStorage", "sessionStorage", "indexedDB", "caches", "cookie", "http:", "https:", "innerHTML", "eval"} {
		if strings.Contains(script, word) {
			t.Errorf("the script says %s", word)
		}
	}
	if !strings.Contains(script, "credentials: 'omit'") {
		t.Error("the script sends the session's cookie")
	}
}

// The pages for developers have our sentences in each language, the contract's marked as English.
func TestThePortalInFourLanguages(t *testing.T) {
	s := newSite(t)
	for lang, want := range map[string]string{"nl": "Wie dit mag", "fr": "Qui le peut", "de": "Wer das darf", "en": "Who may do this"} {
		page, _ := s.portal("/doc/operations/issueDocument", speaking(lang))
		if missing := lacks(page, want); missing != nil || !strings.Contains(page, `<html lang="`+lang+`">`) || !strings.Contains(page, `<p lang="en"><strong>Issue a document about a citizen`) {
			t.Errorf("%s lacks %q", lang, missing)
		}
	}
}

// Each launch type has a sample made from its schema that the vault would take.
func TestEveryTypeHasASample(t *testing.T) {
	loaded, err := vocabulary.Load(samples.Files, nil)
	if err != nil {
		t.Fatal(err)
	}
	view, err := vocabulary.Compile(registry.Published{Version: 1, Registry: loaded})
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.DocumentTypes) < 9 {
		t.Fatalf("%d types", len(loaded.DocumentTypes))
	}
	s := newSite(t)
	answer := contract.Registry{Reasons: []contract.RegistryReason{{Kind: "update", Code: "correction", Labels: contract.MultiLanguage{Nl: "Verbetering"}}}}
	for _, one := range loaded.DocumentTypes {
		answer.DocumentTypes = append(answer.DocumentTypes, contract.RegistryDocumentType{DocumentType: contract.DocumentTypeCode(one.Name), Labels: contract.MultiLanguage{Nl: string(one.Name)}, Schema: contract.JSONSchema(one.Schema)})
	}
	s.answers["/registry"] = answer
	for _, one := range loaded.DocumentTypes {
		page, _ := s.portal("/doc/types/" + string(one.Name))
		made := regexp.MustCompile(`(?s)<pre class="wide" tabindex="0">(.*?)</pre>`).FindStringSubmatch(page)
		if made == nil {
			t.Errorf("%s has no sample", one.Name)
			continue
		}
		if _, issues, err := view.CheckContent(one.Name, []byte(html.UnescapeString(made[1]))); err != nil {
			t.Errorf("%s: %v %v: %s", one.Name, err, issues, made[1])
		}
	}
	if page, _ := s.portal("/doc/codes"); lacks(page, "correction", "Verbetering", "update") != nil {
		t.Error("the codes lack a reason")
	}
}

// What a registry says is text at the pages for developers, too.
func TestTextsOfThePortalAreNoMarkup(t *testing.T) {
	s := newSite(t)
	const payload = `<script>alert(1)</script>`
	label := contract.MultiLanguage{Nl: payload}
	s.answers["/registry"] = contract.Registry{
		DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "one", Labels: label, Predicates: []contract.PredicateName{payload}, Schema: contract.JSONSchema(`{"type":"object","properties":{"<script>alert(1)</script>":{"type":"string"}}}`)}},
		Purposes:      []contract.RegistryCode{{Code: payload, Labels: label}},
	}
	for _, target := range []string{"/doc/types", "/doc/types/one", "/doc/codes"} {
		if page, _ := s.portal(target); strings.Contains(page, payload) || !strings.Contains(page, "alert(1)") {
			t.Errorf("%s has a text of the registry as it is, or not at all", target)
		}
	}
}

// The catalogue has each problem once, and an operation's page those that its description names.
func TestProblemsAreExplained(t *testing.T) {
	s := newSite(t)
	page, _ := s.portal("/doc/problems")
	types := regexp.MustCompile(`<code>(urn:problem-type:[^<]+)</code>`).FindAllStringSubmatch(page, -1)
	if len(types) < 150 {
		t.Errorf("%d problems", len(types))
	}
	for _, slug := range []string{"consentWithdrawn", "belgif:missingScope", "expiredAccessToken", "noBasis", "budgetExceeded"} {
		if !slices.ContainsFunc(types, func(m []string) bool { return strings.HasSuffix(m[1], slug) }) {
			t.Errorf("%s is not explained", slug)
		}
	}
	if page, _ := s.portal("/doc/operations/accessDocument"); lacks(page, "urn:problem-type:coffre:noBasis") != nil {
		t.Error("the page of reading does not explain noBasis")
	}
}
