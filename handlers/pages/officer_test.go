package pages_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/contract"
)

// signInAs returns the cookie of somebody who signs in in another role than a citizen's.
func (s *site) signInAs(name, home string) *http.Cookie {
	s.t.Helper()
	resp := s.browser(http.MethodPost, "/signin", url.Values{"as": {name}})
	if cookies := resp.Cookies(); resp.StatusCode == http.StatusSeeOther && resp.Header.Get("Location") == home && len(cookies) == 1 {
		return cookies[0]
	}
	s.t.Fatalf("signing in as %s: %d, %v", name, resp.StatusCode, resp.Header)
	return nil
}

// officer is a site with an officer signed in, before a registry with a few words.
func newOfficer(t *testing.T) (*site, *http.Cookie) {
	s := newSite(t)
	s.role = domain.RolePrivacyOfficer
	s.answers["/registry"] = contract.Registry{
		Organizations: []contract.RegistryOrganization{{EnterpriseNumber: "0203430576", Labels: contract.MultiLanguage{En: "Railways"}, Purposes: []contract.Purpose{"discount"}}},
		DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "diploma", Labels: contract.MultiLanguage{En: "Diploma"}, Issuers: []contract.EnterpriseNumber{}}},
		Purposes:      []contract.RegistryCode{{Code: "discount", Labels: contract.MultiLanguage{En: "Discount"}}},
		LegalBases:    []contract.RegistryLegalBasis{{Code: "publicTask", Labels: contract.MultiLanguage{En: "Public task"}}},
		Reasons: []contract.RegistryReason{
			{Code: "litigation", Kind: contract.ReasonKindLegalHold, Labels: contract.MultiLanguage{En: "Litigation"}}, {Code: "law", Kind: contract.ReasonKindErasure, Labels: contract.MultiLanguage{En: "By law"}},
		},
	}
	return s, s.signInAs("officer1", "/officer")
}

// officerForm sends a form of an officer's page.
func (s *site) officerForm(c *http.Cookie, to string, form url.Values) *http.Response {
	s.t.Helper()
	found := formToken.FindStringSubmatch(s.text(s.browser(http.MethodGet, "/officer/citizen", nil, with(c))))
	if found == nil {
		s.t.Fatal("the page has no token of its session")
	}
	form.Set("form", found[1])
	return s.browser(http.MethodPost, to, form, with(c), speaking("en"))
}

// Where people are believed, two persons sign in as privacy officers, so that the second person
// counts; each role is led to its own first page and reads its own menu, and nobody signs in in a
// role that has no pages.
func TestEveryRoleHasItsHome(t *testing.T) {
	s := newSite(t)
	form := s.text(s.browser(http.MethodGet, "/signin", nil, speaking("en")))
	if missing := lacks(form, "This vault is for trying out."); missing != nil || !strings.Contains(form, `value="officer1"`) || !strings.Contains(form, `value="officer2"`) || strings.Contains(form, `value="consumer"`) {
		t.Errorf("the form lacks %q", missing)
	}
	s.role = domain.RolePrivacyOfficer
	c := s.signInAs("officer1", "/officer")
	s.signInAs("officer2", "/officer")
	if s.minted[0].Role != domain.RolePrivacyOfficer || s.minted[1].Role != domain.RolePrivacyOfficer || s.minted[0].Name == s.minted[1].Name || s.minted[0].Name == "" {
		t.Errorf("minted %+v", s.minted)
	}
	if resp := s.browser(http.MethodGet, "/", nil, with(c)); resp.Header.Get("Location") != "/officer" {
		t.Errorf("an officer is led to %s", resp.Header.Get("Location"))
	}
	if body := s.page(c, "/officer/citizen"); strings.Contains(body, `href="/wallet"`) || !strings.Contains(body, `href="/officer/inbox"`) {
		t.Error("an officer has another's menu")
	}
	if resp := s.browser(http.MethodGet, "/", nil); resp.Header.Get("Location") != "/signin" {
		t.Errorf("nobody is led to %s", resp.Header.Get("Location"))
	}
	if resp := s.browser(http.MethodPost, "/signin", url.Values{"as": {"consumer"}}); resp.StatusCode != http.StatusBadRequest || len(resp.Cookies()) > 0 {
		t.Errorf("in a role without pages: %d", resp.StatusCode)
	}
}

// Nobody but a citizen acts in another's name.
func TestAnOfficerActsInNobodysName(t *testing.T) {
	s, c := newOfficer(t)
	if body := s.page(c, "/officer/citizen?of="+child, speaking("en")); strings.Contains(body, "in the name of another") || strings.Contains(body, child+`"`) {
		t.Error("an officer acts in another's name")
	}
}

// The figures are sums of whole groups, in a table beside each drawing; what was put together has
// no name.
func TestFiguresAreSumsOfGroups(t *testing.T) {
	s, c := newOfficer(t)
	s.answers["/figures"] = contract.Figures{
		At: s.now, Year: 2026, MinPeople: 10, ReadAfterWithdrawal: true,
		Consents: contract.FigureTable{Total: 1234, Groups: []contract.FigureGroup{
			{Count: 1000, State: "granted", Consumer: "0203430576"}, {Count: 200, State: "withdrawn", Consumer: "0203430576", LastRead: contract.FigureLastReadNever}, {Count: 34},
		}},
		Accesses: contract.FigureTable{Total: 70, Groups: []contract.FigureGroup{{Count: 40, LegalBasis: "publicTask", QuestionsNotAsked: 12}, {Count: 30, LegalBasis: "consent"}}},
	}
	body := s.page(c, "/officer", speaking("en"))
	if missing := lacks(body, "No group has fewer than 10 people", "1,234", "1,200", "Railways", "Put together", "Public task", "Never used", "A consent was used after it was withdrawn", "/officer?year=2025"); missing != nil || !strings.Contains(body, "<svg") || strings.Contains(body, "style=") {
		t.Errorf("the page lacks %q", missing)
	}
	s.asked = nil
	if body := s.page(c, "/officer/trend", speaking("en")); lacks(body, "2022: 70; 2023: 70") != nil || !strings.Contains(body, `role="img"`) || strings.Count(strings.Join(s.asked, "\n"), "/figures ") != 5 {
		t.Errorf("the trend asked %q", s.asked)
	}
	s.answers["/figures"] = contract.Figures{
		At: s.now, Year: 2026, MinPeople: 10,
		Consents: contract.FigureTable{Groups: []contract.FigureGroup{
			{Count: 1000, State: "granted", Consumer: "0203430576", GrantedWeek: "2026-01-05"}, {Count: 200, State: "granted", Consumer: "0203430576", GrantedWeek: "2026-01-05"},
			{Count: 11, State: "withdrawn", Consumer: "0203430576", EndedWeek: "2026-06-01"}, {Count: 7777, State: "withdrawn", GrantedWeek: "2025-01-06", EndedWeek: "2025-06-02"},
		}},
		Accesses: contract.FigureTable{Groups: []contract.FigureGroup{{Count: 40, LegalBasis: "publicTask", Week: "2025-12-29"}, {Count: 30, LegalBasis: "consent", Week: "2026-06-15"}}},
		Refusals: contract.FigureTable{Groups: []contract.FigureGroup{{Count: 15, Reason: "noBasis", Week: "2026-03-02"}, {Count: 12}}},
	}
	body = s.page(c, "/officer/weeks", speaking("en"))
	if missing := lacks(body, "Columns, one for each week. 2: 1,200. The table", "2, from 5 January 2026", "23: 11.", "1: 40; 25: 30.", "10: 15.", "noBasis", "/officer/weeks?year=2025"); missing != nil || strings.Contains(body, "7,777") || strings.Count(body, "<figure") != 4 || strings.Count(body, "<text") != 4*9 {
		t.Errorf("the weeks lack %q: %d figures, %d labels", missing, strings.Count(body, "<figure"), strings.Count(body, "<text"))
	}
	for _, year := range []string{"1999", "2027", "x"} {
		if resp := s.browser(http.MethodGet, "/officer?year="+year, nil, with(c)); resp.StatusCode != http.StatusNotFound {
			t.Errorf("year %s: %d", year, resp.StatusCode)
		}
	}
}

// A citizen is looked up with a reason; their number stands in no address, no page and no title.
func TestACitizenIsLookedUpWithAReason(t *testing.T) {
	s, c := newOfficer(t)
	s.answers["/citizens/get"] = contract.Citizen{CitizenID: domain.CitizenID{UUID: one}}
	for name, form := range map[string]url.Values{"no reason": {"number": {number}}, "no number": {"number": {"12345678901"}, "reason": {"complaint"}}} {
		s.did = nil
		if resp := s.officerForm(c, "/officer/citizen", form); resp.StatusCode != http.StatusBadRequest || len(s.did) > 0 || strings.Contains(s.text(resp), form.Get("number")) {
			t.Errorf("%s: %d, did %q", name, resp.StatusCode, s.did)
		}
	}
	resp := s.officerForm(c, "/officer/citizen", url.Values{"number": {number}, "reason": {"complaint"}, "case": {" 2026/1 "}})
	if to := resp.Header.Get("Location"); to != "/officer/citizens/"+one.String() {
		t.Errorf("led to %q", to)
	}
	if want := `/citizens/get  {"caseReference":"2026/1","reason":"complaint","ssin":"` + number + `"}`; len(s.did) != 1 || s.did[0] != want {
		t.Errorf("did %q", s.did)
	}
	s.answers["/citizens/get"] = http.StatusNotFound
	if resp := s.officerForm(c, "/officer/citizen", url.Values{"number": {number}, "reason": {"complaint"}}); resp.StatusCode != http.StatusNotFound || len(lacks(s.text(resp), "does not know this person")) > 0 {
		t.Errorf("nobody: %d", resp.StatusCode)
	}
}

// What an officer may do about a citizen is on their page, and asked of the API as it stands in
// the form; another officer is needed for an erasure, and a refusal says so.
func TestWhatAnOfficerDoesAboutACitizen(t *testing.T) {
	s, c := newOfficer(t)
	base := "/citizens/" + one.String()
	s.answers[base+"/restrictions"] = contract.Restrictions{Items: []contract.Restriction{{Reason: "litigation", RestrictedAt: s.now, AskedBy: contract.ActorRoleCitizen}}}
	s.answers[base+"/corrections"] = contract.Corrections{Items: []contract.Correction{{Kind: contract.CorrectionKindMerge, State: contract.CorrectionStateProposed, ProposedAt: s.now}}}
	body := s.page(c, "/officer"+base, speaking("en"))
	if missing := lacks(body, "Two numbers of one person", "Litigation", "By law", "/officer/consents?citizen="+one.String(), "/officer"+base+"/looked"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	s.answers[base+"/legalHolds"] = contract.LegalHold{LegalHoldID: domain.HoldID{UUID: one}}
	s.answers["/erasures"] = contract.Erasure{ErasureID: domain.ErasureID{UUID: one}}
	s.answers["/erasures/"+one.String()+"/approve"], s.answers[base+"/legalHolds/"+one.String()+"/lift"] = s.answers["/erasures"], struct{}{}
	for _, tc := range []struct{ path, to, did string }{
		{"/officer" + base + "/hold", "/officer/holds/" + one.String() + "/" + one.String() + "?at=seen", base + "/legalHolds " + someKey + ` {"reason":"law"}`},
		{"/officer" + base + "/erase", "/officer/erasures/" + one.String() + "?at=seen", "/erasures " + someKey + ` {"citizenId":"` + one.String() + `","reason":"law","scope":"citizen"}`},
		{"/officer/erasures/" + one.String() + "/approve", "/officer/erasures/" + one.String() + "?at=seen", "/erasures/" + one.String() + "/approve " + someKey + " "},
		{"/officer/holds/" + one.String() + "/" + one.String() + "/lift", "/officer/holds/" + one.String() + "/" + one.String() + "?at=seen", base + "/legalHolds/" + one.String() + "/lift " + someKey + " "},
	} {
		s.did = nil
		resp := s.officerForm(c, tc.path, url.Values{"reason": {"law"}, "key": {someKey}})
		if resp.Header.Get("Location") != tc.to || len(s.did) != 1 || s.did[0] != tc.did {
			t.Errorf("%s: %d to %q, did %q", tc.path, resp.StatusCode, resp.Header.Get("Location"), s.did)
		}
	}
	s.answers["/erasures/"+one.String()+"/approve"] = refusal{http.StatusForbidden, "secondPersonNeeded"}
	resp := s.officerForm(c, "/officer/erasures/"+one.String()+"/approve", url.Values{"key": {someKey}})
	if missing := lacks(s.text(resp), "A second person decides."); resp.StatusCode != http.StatusForbidden || missing != nil {
		t.Errorf("who asked: %d, the page lacks %q", resp.StatusCode, missing)
	}
}

// The consent log is narrowed by its address, which tells nothing personal, and goes on by a cursor
// with the same words.
func TestTheConsentLogIsNarrowed(t *testing.T) {
	s, c := newOfficer(t)
	s.answers["/consentLog/query"] = contract.ConsentLog{
		NextCursor: "next", StateAt: s.now, Totals: &contract.ConsentLogTotals{Consents: 3, Decisions: 5, Granted: 2},
		Items: []contract.ConsentLogItem{{At: s.now, ConsentID: domain.ConsentID{UUID: one}, Consumer: "0203430576", Purpose: "discount", Decision: "granted", State: "withdrawn", DocumentTypes: []contract.DocumentTypeCode{"diploma"}}},
	}
	target := "/officer/consents?" + url.Values{"citizen": {one.String()}, "consumer": {"0203430576"}, "purpose": {"discount"}, "decision": {"granted"}, "state": {"withdrawn"}, "type": {"diploma"}, "from": {"2026-06-01"}, "until": {"2026-06-30"}}.Encode()
	body := s.page(c, target, speaking("en"))
	if missing := lacks(body, "Railways", "Discount", "Diploma", "withdrawn", "after=next", "Only of the citizen with code 2D9F", "/officer/consents/"+one.String()); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	want := `{"citizenId":"` + one.String() + `","consumer":"0203430576","decision":["granted"],"documentType":"diploma","from":"2026-05-31T22:00:00Z","purpose":"discount","state":"withdrawn","until":"2026-06-30T22:00:00Z"}`
	if len(s.did) != 1 || s.did[0] != "/consentLog/query  "+want {
		t.Errorf("did %q", s.did)
	}
	if resp := s.browser(http.MethodGet, "/officer/consents?from=2026-02-30", nil, with(c)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("no day: %d", resp.StatusCode)
	}
}

// One consent is shown with everything that happened and with the text that the citizen was
// shown, in its language.
func TestAConsentsHistoryIsShown(t *testing.T) {
	s, c := newOfficer(t)
	s.answers["/consents/"+one.String()+"/history"] = contract.ConsentHistory{
		Consent: contract.Consent{ConsentID: domain.ConsentID{UUID: one}, Consumer: "0203430576", Purpose: "discount", CitizenID: domain.CitizenID{UUID: one}, ShownText: contract.ShownText{Text: "Mag <b>de trein</b>?", Language: "nl", Version: "2"}},
		State:   "withdrawn", StateAt: s.now,
		Steps: []contract.ConsentStep{{At: s.now, Step: "granted", Role: contract.ActorRoleCitizen}, {At: s.now, Step: "withdrawn", Role: contract.ActorRoleCitizen, Reason: "law"}},
	}
	body := s.page(c, "/officer/consents/"+one.String(), speaking("en"))
	if missing := lacks(body, "Mag <b>de trein</b>?", "granted, citizen", "withdrawn, citizen, By law", "Version 2 of the text", "/officer/consents/"+one.String()+"/receipt"); missing != nil || !strings.Contains(body, `<blockquote lang="nl">`) {
		t.Errorf("the page lacks %q", missing)
	}
}

// An export is started with a reason, followed, and fetched with the signed manifest.
func TestAnExportIsStartedFollowedAndFetched(t *testing.T) {
	s, c := newOfficer(t)
	made := contract.Export{ExportID: one, Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatXlsx, Status: contract.TaskProgress{State: contract.TaskStateProcessing}}
	s.answers["/exports"] = made
	resp := s.officerForm(c, "/officer/exports", url.Values{"kind": {"consentLog"}, "format": {"xlsx"}, "reason": {"litigation"}, "consumer": {""}, "until": {"2026-06-30"}, "key": {someKey}})
	if want := "/exports " + someKey + ` {"format":"xlsx","kind":"consentLog","reason":"litigation","until":"2026-06-30T22:00:00Z"}`; len(s.did) != 1 || s.did[0] != want || resp.Header.Get("Location") != "/officer/exports/"+one.String()+"?at=seen" {
		t.Errorf("%d, did %q", resp.StatusCode, s.did)
	}
	at := "/exports/" + one.String()
	s.answers[at] = made
	if missing := lacks(s.page(c, "/officer"+at, speaking("en")), "Being made", "Look again"); missing != nil {
		t.Errorf("while it is made the page lacks %q", missing)
	}
	s.did, s.answers[at+"/cancel"] = nil, made
	if resp := s.officerForm(c, "/officer"+at+"/cancel", url.Values{"key": {someKey}}); len(s.did) != 1 || s.did[0] != at+"/cancel "+someKey+` {"reason":"noLongerWanted"}` || resp.Header.Get("Location") != "/officer"+at {
		t.Errorf("cancelling: %d, did %q", resp.StatusCode, s.did)
	}
	made.Status.State = contract.TaskStateCancelled
	s.answers[at] = made
	if missing := lacks(s.page(c, "/officer"+at, speaking("en")), "Cancelled"); missing != nil {
		t.Errorf("once it is cancelled the page lacks %q", missing)
	}
	made.Status.State, made.Manifest, made.Content, made.Sha256 = contract.TaskStateDone, "coffre\n<signed>\n", "/vault/v1"+contract.Href(at)+"/content", "abc"
	s.answers[at], s.answers[at+"/content"] = made, map[string]string{"the": "file"}
	if missing := lacks(s.page(c, "/officer"+at, speaking("en")), "coffre\n<signed>\n", "/officer"+at+"/content", "/officer"+at+"/manifest", "coffre export verify FILE --manifest manifest.txt --key KEY"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if got := s.text(s.browser(http.MethodGet, "/officer"+at+"/content", nil, with(c))); !strings.Contains(got, "file") {
		t.Errorf("the file is %q", got)
	}
	if resp := s.browser(http.MethodGet, "/officer"+at+"/manifest", nil, with(c)); s.text(resp) != made.Manifest || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the manifest: %d", resp.StatusCode)
	}
}

// Everything that waits for an officer is on one page, and each list on its own, page by page.
func TestTheInboxHasWhatWaits(t *testing.T) {
	s, c := newOfficer(t)
	s.inboxSays("Somebody's")
	body := s.page(c, "/officer/inbox", speaking("en"))
	if missing := lacks(body, "/officer/erasures/"+one.String(), "/officer/petitions/"+one.String(), "/officer/holds/"+one.String()+"/"+one.String(), "Litigation", "Diploma", "a legal hold stands", "/officer/inbox/erasures"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	s.asked = nil
	if missing := lacks(s.page(c, "/officer/inbox/erasures?after=x", speaking("en")), "/officer/inbox/erasures?after=next"); missing != nil {
		t.Errorf("the list lacks %q", missing)
	}
	if resp := s.browser(http.MethodGet, "/officer/inbox/nothing", nil, with(c)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no list: %d", resp.StatusCode)
	}
}

// inboxSays has the API tell of one thing of each kind that waits.
func (s *site) inboxSays(text string) {
	id := domain.CitizenID{UUID: one}
	hold := contract.LegalHold{LegalHoldID: domain.HoldID{UUID: one}, CitizenID: id, Reason: "litigation", PlacedAt: s.now}
	s.answers["/erasures"] = contract.Erasures{NextCursor: "next", Items: []contract.Erasure{{ErasureID: domain.ErasureID{UUID: one}, Scope: "citizen", State: "requested", Reason: contract.ReasonCode(text), RequestedAt: s.now}}}
	s.answers["/erasures/"+one.String()] = contract.Erasure{ErasureID: domain.ErasureID{UUID: one}, Scope: "citizen", State: "requested", Reason: contract.ReasonCode(text), RequestedAt: s.now}
	petition := contract.Petition{PetitionID: domain.PetitionID{UUID: one}, Kind: "objection", State: "open", AskedAt: s.now, Deadline: "2026-07-01", Text: text, PurposeLabel: text}
	s.answers["/petitions"] = contract.Petitions{Items: []contract.Petition{petition}}
	s.answers["/petitions/"+one.String()] = petition
	s.answers["/legalHolds"] = contract.LegalHolds{Items: []contract.LegalHold{hold}}
	s.answers["/restrictions"] = contract.Restrictions{Items: []contract.Restriction{{Reason: contract.ReasonCode(text), RestrictedAt: s.now, AskedBy: contract.ActorRoleCitizen, CitizenID: id}}}
	s.answers["/dueErasures"] = contract.DueErasures{Items: []contract.DueErasure{{CitizenID: id, DocumentType: "diploma", Rule: contract.ReasonCode(text), Then: "destroy", LegalHold: true}}}
}

// A petition that is addressed to the vault is answered there, and a rejection says why.
func TestAPetitionIsAnswered(t *testing.T) {
	s, c := newOfficer(t)
	s.inboxSays("I object")
	at := "/petitions/" + one.String()
	if missing := lacks(s.page(c, "/officer"+at, speaking("en")), "I object", "Is the citizen right?"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if resp := s.officerForm(c, "/officer"+at+"/answer", url.Values{"outcome": {"rejected"}, "text": {" "}, "key": {someKey}}); resp.StatusCode != http.StatusBadRequest || len(s.did) > 0 {
		t.Errorf("a rejection without a reason: %d, did %q", resp.StatusCode, s.did)
	}
	s.answers[at+"/answer"] = struct{}{}
	resp := s.officerForm(c, "/officer"+at+"/answer", url.Values{"outcome": {"rejected"}, "text": {"Because\r\n"}, "key": {someKey}})
	if want := at + "/answer " + someKey + ` {"outcome":"rejected","text":"Because"}`; len(s.did) != 1 || s.did[0] != want || resp.Header.Get("Location") != "/officer"+at+"?at=seen" {
		t.Errorf("%d, did %q", resp.StatusCode, s.did)
	}
	if resp := s.officerForm(c, "/officer"+at+"/extend", url.Values{"text": {" "}, "key": {someKey}}); resp.StatusCode != http.StatusBadRequest || len(s.did) != 1 {
		t.Errorf("longer without a reason: %d, did %q", resp.StatusCode, s.did)
	}
	s.answers[at+"/extend"] = contract.Petition{}
	resp = s.officerForm(c, "/officer"+at+"/extend", url.Values{"text": {"Because\r\n"}, "key": {someKey}})
	if want := at + "/extend " + someKey + ` {"text":"Because"}`; len(s.did) != 2 || s.did[1] != want || resp.Header.Get("Location") != "/officer"+at+"?at=seen" {
		t.Errorf("%d, did %q", resp.StatusCode, s.did)
	}
	others := s.answers[at].(contract.Petition)
	others.ExtendedAt, others.Extension = s.now, "The archive is far"
	s.answers[at] = others
	if body := s.page(c, "/officer"+at, speaking("en")); lacks(body, "The archive is far") != nil || strings.Contains(body, "Take two further months") {
		t.Error("two months are offered twice, or it is not said why they were taken")
	}
	others.Organization = "0203430576"
	s.answers[at] = others
	if body := s.page(c, "/officer"+at, speaking("en")); strings.Contains(body, "<textarea") {
		t.Error("an officer answers for an organisation")
	}
}

// The register of processing comes from the API, in the form and the language asked for.
func TestTheRegisterIsHandedOn(t *testing.T) {
	s, c := newOfficer(t)
	s.answers["/processingRegister"] = map[string]string{"the": "register"}
	if got := s.text(s.browser(http.MethodGet, "/officer/register/file?format=pdf", nil, with(c))); !strings.Contains(got, "register") || !slices.Contains(s.asked, "/vault/v1/processingRegister Bearer the-access-token") {
		t.Errorf("%q, asked %q", got, s.asked)
	}
}

// How far an export is shows without a reload: by a script, or by loading the page anew, which one
// may stop; once it is over by neither.
func TestTheProgressOfAnExportIsShown(t *testing.T) {
	s, c := newOfficer(t)
	at := "/exports/" + one.String()
	made := contract.Export{ExportID: one, Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatXlsx, Rows: new(int64(1234)), Status: contract.TaskProgress{State: contract.TaskStateProcessing}}
	look := func(query string) (body, csp string) {
		t.Helper()
		s.answers[at] = made
		resp := s.browser(http.MethodGet, "/officer"+at+query, nil, with(c), speaking("en"))
		return s.text(resp), resp.Header.Get("Content-Security-Policy")
	}
	const again = `<noscript><meta http-equiv="refresh" content="10">`
	body, csp := look("")
	script := regexp.MustCompile(`<script src="(/assets/progress-[^"]+\.js)" defer></script>`).FindStringSubmatch(body)
	if script == nil || !strings.Contains(body, again) || !strings.Contains(body, "1,234") || !strings.Contains(body, `data-live="running"`) || !strings.Contains(body, at+"?still=yes") || !strings.Contains(csp, "script-src 'self'; connect-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Fatalf("running: %s\n%s", csp, body)
	}
	if code := s.text(s.browser(http.MethodGet, script[1], nil)); !strings.Contains(code, "[data-live]") {
		t.Errorf("the script is %q", code)
	}
	if body, _ := look("?still=yes"); strings.Contains(body, again) || strings.Contains(body, "Do not refresh by itself") || !strings.Contains(body, script[1]) {
		t.Error("the page is loaded anew although somebody stopped that")
	}
	made.Status.State = contract.TaskStateDone
	if body, csp := look(""); strings.Contains(body, again) || strings.Contains(body, "<script") || strings.Contains(csp, "script-src") || !strings.Contains(body, `data-live="over"`) {
		t.Errorf("over: %s", body)
	}
}

// Text that others wrote is text on an officer's pages, too.
func TestTextsOfOfficersAreNoMarkup(t *testing.T) {
	s, c := newOfficer(t)
	payload := `"><img src=x onerror=alert(1)>`
	s.allSay(payload)
	s.inboxSays(payload)
	s.answers["/citizens/"+one.String()+"/accessLog"] = s.answers["/citizens/"+me+"/accessLog"]
	s.answers["/citizens/"+one.String()+"/restrictions"] = s.answers["/restrictions"]
	s.answers["/citizens/"+one.String()+"/corrections"] = contract.Corrections{Items: []contract.Correction{}}
	s.answers["/registry"] = contract.Registry{
		Organizations: []contract.RegistryOrganization{{EnterpriseNumber: "0203430576", Labels: contract.MultiLanguage{Nl: payload}, Purposes: []contract.Purpose{"a"}}},
		DocumentTypes: []contract.RegistryDocumentType{{DocumentType: "diploma", Labels: contract.MultiLanguage{Nl: payload}, Issuers: []contract.EnterpriseNumber{}}}, Purposes: []contract.RegistryCode{{Code: "a", Labels: contract.MultiLanguage{Nl: payload}}},
		Reasons: []contract.RegistryReason{{Code: "litigation", Kind: contract.ReasonKindLegalHold, Labels: contract.MultiLanguage{Nl: payload}}},
	}
	s.answers["/consents/"+one.String()+"/history"] = contract.ConsentHistory{Consent: contract.Consent{Purpose: "a", ShownText: contract.ShownText{Text: payload, Version: contract.TextVersion(payload), Language: "nl"}}, State: "granted", Steps: []contract.ConsentStep{}}
	s.answers["/exports"] = contract.ExportList{Items: []contract.Export{}}
	s.answers["/exports/"+one.String()] = contract.Export{Kind: "consentLog", Format: "csv", Status: contract.TaskProgress{State: "done"}, Manifest: payload, Sha256: payload}
	s.answers["/consentLog/query"] = contract.ConsentLog{Items: []contract.ConsentLogItem{{Decision: "granted", Consumer: "0203430576", Purpose: contract.Purpose(payload), DocumentTypes: []contract.DocumentTypeCode{"diploma"}}}}
	s.answers["/figures"] = contract.Figures{Consents: contract.FigureTable{Groups: []contract.FigureGroup{{Count: 10, State: "granted", Consumer: "0203430576"}}}, Accesses: contract.FigureTable{Groups: []contract.FigureGroup{{Count: 10, Procedure: contract.Procedure(payload), LegalBasis: "publicTask"}}}}
	for _, target := range []string{
		"/officer", "/officer/trend", "/officer/weeks", "/officer/citizen", "/officer/citizens/" + one.String(), "/officer/citizens/" + one.String() + "/looked", "/officer/consents", "/officer/consents/" + one.String(),
		"/officer/consents/" + one.String() + "/looked", "/officer/exports", "/officer/exports/" + one.String(), "/officer/inbox", "/officer/inbox/due", "/officer/erasures/" + one.String(),
		"/officer/holds/" + one.String() + "/" + one.String(), "/officer/petitions/" + one.String(), "/officer/register",
	} {
		if strings.Contains(s.page(c, target, speaking("nl")), payload) {
			t.Errorf("%s stands in %s as it is", payload, target)
		}
	}
}

// refusal is an answer of the API that refuses, with its slug.
type refusal struct {
	status int
	slug   string
}

func (r refusal) MarshalJSON() ([]byte, error) {
	return json.Marshal(contract.Problem{Type: "urn:problem-type:coffre:" + r.slug})
}
