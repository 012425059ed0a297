package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

func newOperator(t *testing.T) (*site, *http.Cookie) {
	s := newSite(t)
	s.role = domain.RoleOperator
	s.answers["/registry"] = contract.Registry{
		Organizations: []contract.RegistryOrganization{}, DocumentTypes: []contract.RegistryDocumentType{}, Purposes: []contract.RegistryCode{},
		Reasons: []contract.RegistryReason{{Code: "corrected", Kind: contract.ReasonKindUpdate, Labels: contract.MultiLanguage{En: "Corrected"}}},
	}
	return s, s.signInAs("operator", "/operator")
}

// An operator sees how the vault is, and how far each read model.
func TestAnOperatorSeesHowTheVaultIs(t *testing.T) {
	s, c := newOperator(t)
	s.answers["/condition"] = contract.Condition{Status: contract.HealthStatusDEGRADED, Reasons: []string{"the read model <b>wallet</b> is behind"}}
	s.answers["/projections"] = contract.Projections{Items: []contract.Projection{{Name: "wallet", State: contract.ProjectionStateRebuilding, Applied: 12345, Behind: 7, Rebuilding: new(40), UpdatedAt: s.now}}}
	body := s.page(c, "/operator", speaking("en"))
	if missing := lacks(body, "not everything is right", "the read model <b>wallet</b> is behind", "12,345", "40 %", "being rebuilt", "/operator/acts/rebuild?name=wallet"); missing != nil || !strings.Contains(body, "<svg") {
		t.Errorf("the page lacks %q", missing)
	}
}

// Keys are counted, and the act that a rotation waits for is offered, and no other.
func TestAnOperatorRotatesKeys(t *testing.T) {
	s, c := newOperator(t)
	s.answers["/keys"] = contract.KeyState{DataKeys: 1000, ContentKeys: 20, Provider: "file", NextStep: contract.RotationStepRetire, KeyEncryptionKeys: []contract.KeyEncryptionKey{{Version: 2, Wraps: 1000, CreatedAt: s.now}}}
	body := s.page(c, "/operator/keys", speaking("en"))
	if missing := lacks(body, "1,000", "Version 2", "can be retired", "/operator/acts/retire", "Last backup that was tried", "none yet"); missing != nil || strings.Contains(body, "/operator/acts/trim") {
		t.Errorf("the page lacks %q, or offers more", missing)
	}
	s.answers["/keys"] = contract.KeyState{NextStep: contract.RotationStepBackUp, LastBackup: contract.KeyBackup{VerifiedAt: s.now.Add(-12*24*time.Hour - time.Minute)}}
	if body := s.page(c, "/operator/keys", speaking("en")); strings.Contains(body, "/operator/acts/") || !strings.Contains(body, "(age in days: 12)") {
		t.Error("an act is offered while a backup is needed, or its age is not told")
	}
}

// An operator sees who called what, day by day in a chart with its numbers, and what it costs.
func TestAnOperatorSeesTraffic(t *testing.T) {
	s, c := newOperator(t)
	s.answers["/traffic"] = contract.Traffic{
		Month: "2026-11", Requests: 12345, Refused: 7, Failed: 1,
		Days:       []contract.TrafficDay{{Date: "2026-11-28", Requests: 12000, Refused: 7}, {Date: "2026-11-29", Requests: 345, Failed: 1}},
		Callers:    []contract.TrafficCaller{{Role: contract.TrafficRoleConsumer, Organization: "0203430576", Requests: 12000, Refused: 7}, {Role: contract.TrafficRoleNone, Requests: 1, Failed: 1}},
		Operations: []contract.TrafficOperation{{Operation: "accessDocument", Requests: 12000, HalfWithin: 50, MostWithin: 1000}},
		Problems:   []contract.TrafficProblem{{Role: contract.TrafficRoleConsumer, Organization: "0203430576", Operation: "accessDocument", Status: 403, Problem: "noBasis", Requests: 7}},
	}
	s.answers["/monthlyUsage"] = contract.MonthlyUsage{Month: "2026-11", Currency: "EUR", PricesFrom: "2026-01-01", Organizations: []contract.OrganizationUsage{{Organization: "0203430576", Calls: 11993, Refused: 7, Costs: "149.91", Lines: []contract.UsageLine{}}}}
	body := s.page(c, "/operator/traffic?month=2026-11", speaking("en"))
	if missing := lacks(body, "November 2026: 12,345 requests", "11,993", "nobody who was let in", "403 noBasis", "1,000 ms", "149.91", "EUR", "/operator/traffic?month=2026-10"); missing != nil || !strings.Contains(body, "<svg") {
		t.Errorf("the page lacks %q", missing)
	}
	s.answers["/monthlyUsage"] = contract.MonthlyUsage{Organizations: []contract.OrganizationUsage{}}
	if missing := lacks(s.page(c, "/operator/traffic", speaking("en")), "No prices are in force"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
}

// What an operator sees of now is shown anew by a script until somebody stops that; a month that is
// over is not.
func TestAnOperatorsPagesAreLive(t *testing.T) {
	s, c := newOperator(t)
	for target, want := range map[string]struct {
		live bool
		link string
	}{
		"/operator": {true, "/operator?still=yes"}, "/operator?still=yes": {false, "/operator"},
		"/operator/traffic": {true, "/operator/traffic?still=yes"}, "/operator/traffic?still=yes": {false, "/operator/traffic"}, "/operator/traffic?month=2026-10": {false, "/operator/traffic?month="},
	} {
		s.answers["/condition"], s.answers["/projections"] = contract.Condition{Status: contract.HealthStatusUP}, contract.Projections{}
		s.answers["/traffic"], s.answers["/monthlyUsage"] = contract.Traffic{Month: "2026-11"}, contract.MonthlyUsage{}
		resp := s.browser(http.MethodGet, target, nil, with(c), speaking("en"))
		csp, body := resp.Header.Get("Content-Security-Policy"), s.text(resp)
		live := strings.Contains(body, `<script src="/assets/progress-`) && strings.Contains(body, `data-live="running"`) && strings.Contains(csp, "script-src 'self'; connect-src 'self'")
		if live != want.live || live != strings.Contains(body, "<script") || strings.Contains(csp, "unsafe") || !strings.Contains(body, `href="`+want.link) || strings.Contains(body, "http-equiv") {
			t.Errorf("%s: %s\n%s", target, csp, body)
		}
	}
}

// Every act is asked for on a page of its own that says what follows, and done once.
func TestAnOperatorsActsAreConfirmed(t *testing.T) {
	s, c := newOperator(t)
	s.answers["/reactors"] = contract.Reactors{Items: []contract.Reactor{{Name: "deaths", MovedAt: s.now}, {Name: "messages", MovedAt: s.now, PausedAt: s.now}}}
	s.answers["/poisonedEvents"] = contract.PoisonList{Items: []contract.Poison{{Reactor: "deaths", Leaf: 9, Type: "citizen.deceased/1", Reason: "damaged", Attempts: 5, TriedAt: s.now}}}
	body := s.page(c, "/operator/reactors", speaking("en"))
	if missing := lacks(body, "/operator/acts/pause?name=deaths", "/operator/acts/resume?name=messages", "citizen.deceased/1", "Event 9 of deaths"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	for _, tc := range []struct{ at, warning, path, body, back string }{
		{"pause?name=deaths", "handles nothing until it is resumed", "/reactors/deaths/pause", `{"reason":"corrected"}`, "/operator/reactors"},
		{"resume?name=a%2Fb", "goes on with all that waits", "/reactors/a/b/resume", `{"reason":"corrected"}`, "/operator/reactors"},
		{"retry?leaf=9&name=deaths", "handled once more", "/poisonedEvents/retry", `{"leaf":9,"reactor":"deaths","reason":"corrected"}`, "/operator/reactors"},
		{"drop?leaf=9&name=deaths", "never happens", "/poisonedEvents/drop", `{"leaf":9,"reactor":"deaths","reason":"corrected"}`, "/operator/reactors"},
		{"rebuild?name=wallet", "built anew from the log", "/projections/wallet/rebuild", "", "/operator"},
		{"rotate", "A new key-encryption key is made", "/keys/rotate", "", "/operator/keys"},
		{"retire", "opens nothing any more", "/keys/retire", "", "/operator/keys"},
		{"trim", "Nobody can undo that.", "/keys/trim", "", "/operator/keys"},
	} {
		page := s.page(c, "/operator/acts/"+tc.at, speaking("en"))
		if missing := lacks(page, tc.warning); missing != nil {
			t.Errorf("%s: the page lacks %q", tc.at, missing)
		}
		act, query, _ := strings.Cut(tc.at, "?")
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		form.Set("form", formToken.FindStringSubmatch(page)[1])
		form.Set("key", someKey)
		form.Set("reason", "corrected")
		s.did = nil
		resp := s.browser(http.MethodPost, "/operator/acts/"+act, form, with(c))
		if want := tc.path + " " + someKey + " " + tc.body; len(s.did) != 1 || s.did[0] != want || resp.Header.Get("Location") != tc.back {
			t.Errorf("%s: %d, did %q", tc.at, resp.StatusCode, s.did)
		}
	}
	for _, target := range []string{"nothing", "pause", "retry?name=deaths", "rotate?name=x"} {
		if resp := s.browser(http.MethodGet, "/operator/acts/"+target, nil, with(c)); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", target, resp.StatusCode)
		}
	}
}
