package pages_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"coffre/handlers/contract"
)

// An auditor starts a comparison of the read models with a reason, follows it without a reload, and
// is told each row that differs with the event that explains it. What stands in a row is no markup.
func TestAnAuditorHasReadModelsCompared(t *testing.T) {
	s, c := newAuditor(t)
	s.answers["/registry"] = contract.Registry{Reasons: []contract.RegistryReason{{Kind: contract.ReasonKindInvestigation, Code: "audit", Labels: contract.MultiLanguage{En: "Audit <of the year>"}}}}
	begun := contract.ModelComparison{ComparisonID: one, State: contract.ComparisonStateRunning, RequestedAt: s.now}
	s.answers["/comparisons"] = contract.ModelComparisons{Items: []contract.ModelComparison{begun}}
	if missing := lacks(s.page(c, "/auditor/drift", speaking("en")), "Audit <of the year>", "/auditor/drift/"+one.String(), "Under way", "coffre audit projections DIR"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	form := s.text(s.browser(http.MethodGet, "/auditor/drift", nil, with(c)))
	s.answers["/comparisons"] = begun
	resp := s.browser(http.MethodPost, "/auditor/drift", url.Values{"form": {formToken.FindStringSubmatch(form)[1]}, "reason": {"audit"}, "key": {someKey}}, with(c))
	if want := "/comparisons " + someKey + ` {"reason":"audit"}`; !slices.Equal(s.did, []string{want}) || resp.Header.Get("Location") != "/auditor/drift/"+one.String() {
		t.Fatalf("did %q, and leads to %q", s.did, resp.Header.Get("Location"))
	}

	at := "/auditor/drift/" + one.String()
	look := func(query string) (body, csp string) {
		t.Helper()
		s.answers["/comparisons/"+one.String()] = begun
		resp := s.browser(http.MethodGet, at+query, nil, with(c), speaking("en"))
		return s.text(resp), resp.Header.Get("Content-Security-Policy")
	}
	leaf := int64(1234)
	begun.Models = []contract.ComparedModel{
		{Projection: "wallet", State: contract.ComparedStateCompared, Taken: 5000, Size: 5000, Rows: 77, Differing: 21, Differences: []contract.ComparedRow{{
			Divergence: contract.RowDivergenceOther, Table: "versions", Row: "from_leaf <b>", Columns: []string{"issuer", "state"}, Leaf: &leaf, Type: "document.issued/2", EventID: &one,
		}}},
		{Projection: "evidence", State: contract.ComparedStateComparing, Taken: 2000, Differences: []contract.ComparedRow{}},
		{Projection: "terms", State: contract.ComparedStateWaiting, Differences: []contract.ComparedRow{}},
	}
	const again = `<noscript><meta http-equiv="refresh" content="10">`
	body, csp := look("")
	if missing := lacks(body, "1 of 3 read models; 7,000 events read", "being compared", "Rows that are not as the log makes them: 21.", "versions: from_leaf <b>", "issuer, state", "/auditor/events/1234", "And 20 more.", at+"?still=yes"); missing != nil {
		t.Errorf("running: the page lacks %q", missing)
	}
	if !strings.Contains(body, again) || !strings.Contains(body, `data-live="running"`) || !strings.Contains(body, `<script src="/assets/progress-`) || !strings.Contains(csp, "script-src 'self'; connect-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("running: %s\n%s", csp, body)
	}
	if body, _ := look("?still=yes"); strings.Contains(body, again) {
		t.Error("the page is loaded anew although somebody stopped that")
	}

	begun.State = contract.ComparisonStateDone
	for _, m := range []int{0, 1, 2} {
		begun.Models[m] = contract.ComparedModel{Projection: begun.Models[m].Projection, State: contract.ComparedStateCompared, Size: 5000, Rows: 3, Differences: []contract.ComparedRow{}}
	}
	if body, csp := look(""); !strings.Contains(body, "Every row is as the log makes it.") || strings.Contains(body, again) || strings.Contains(body, "<script") || strings.Contains(csp, "script-src") || !strings.Contains(body, `data-live="over"`) {
		t.Errorf("the same: %s", body)
	}
	begun.Models[1].Hindrance = contract.ComparisonHindranceNotInForce
	begun.Models[2].Hindrance, begun.Models[2].StoppedAt = contract.ComparisonHindranceLogUnreadable, &leaf
	if body, _ := look(""); strings.Contains(body, "Every row is as the log makes it.") || lacks(body, "Not every read model could be compared.", "there is no read model of this version", "event 1234 cannot be taken in") != nil {
		t.Errorf("hindered: %s", body)
	}
	begun.State = contract.ComparisonStateFailed
	if body, _ := look(""); strings.Contains(body, "Every row is as the log makes it.") || !strings.Contains(body, "The comparison could not be finished.") {
		t.Errorf("failed: %s", body)
	}
	if resp := s.browser(http.MethodGet, "/auditor/drift/x", nil, with(c)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no comparison: %d", resp.StatusCode)
	}
}
