package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/contract"
)

func newAuditor(t *testing.T) (*site, *http.Cookie) {
	s := newSite(t)
	s.role = domain.RoleAuditor
	s.answers["/registry"] = contract.Registry{Organizations: []contract.RegistryOrganization{{EnterpriseNumber: "0203430576", Labels: contract.MultiLanguage{En: "Railways"}}}, DocumentTypes: []contract.RegistryDocumentType{}, Purposes: []contract.RegistryCode{}}
	s.answers["/signingKeys"] = contract.SigningKeys{Keys: []contract.SigningKey{{Purpose: contract.SigningPurposeLog, PublicKey: []byte("a key of the log"), SigningKeyID: "1"}, {Purpose: contract.SigningPurposeErasure, PublicKey: []byte("another key")}}}
	return s, s.signInAs("auditor", "/auditor")
}

// logEvent is an event at a leaf.
func (s *site) logEvent(leaf int64) contract.LogEvent {
	return contract.LogEvent{
		Cursor: contract.Cursor(contract.LeafToken(leaf)), EventID: one, Stream: "consent-" + one.String(), Revision: 3, Type: "consent.granted", Form: 2, RecordedAt: s.now,
		Actor: contract.EventActor{Role: contract.ActorRoleConsumer, Organization: "0203430576"}, Facts: contract.ClearFacts(`{"purpose":"<i>discount</i>","uses":3}`), Metadata: []byte(`{"actor":{}}`), Sealed: []byte("sealed bytes"),
	}
}

// The log is narrowed by its address and goes on by a cursor with the same words; as of a
// checkpoint it ends where the checkpoint does.
func TestTheLogIsNarrowed(t *testing.T) {
	s, c := newAuditor(t)
	s.answers["/events"] = contract.LogEvents{Items: []contract.LogEvent{s.logEvent(6), s.logEvent(7)}, NextCursor: "next"}
	body := s.page(c, "/auditor?type=consent.granted&role=consumer&from=2026-06-01&until=2026-06-15T12:00:00Z&leaf=6", speaking("en"))
	if missing := lacks(body, "A consent was granted", "Railways (consumer)", "/auditor/events/7", "after=next", "consent-"+one.String(), "@3"); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if want := (url.Values{"after": {contract.LeafToken(5)}, "type": {"consent.granted"}, "role": {"consumer"}, "from": {"2026-05-31T22:00:00Z"}, "until": {"2026-06-15T12:00:00Z"}, "pageSize": {"50"}}).Encode(); !slices.Contains(s.queries, want) {
		t.Errorf("asked %q", s.queries)
	}
	if !strings.Contains(body, `<script src="/assets/rows-`) || !strings.Contains(body, `<p id="keys" hidden>`) {
		t.Error("no key moves through the table")
	}
	then := s.page(c, "/auditor?size=7", speaking("en"))
	if missing := lacks(then, "as it was with 7 events", "/auditor/events/6?size=7"); missing != nil || strings.Contains(then, "/auditor/events/7") || strings.Contains(then, "after=next") {
		t.Errorf("as of a checkpoint the page lacks %q, or tells of what followed", missing)
	}
	for _, wrong := range []string{"leaf=-1", "leaf=x", "size=0", "from=yesterday"} {
		if resp := s.browser(http.MethodGet, "/auditor?"+wrong, nil, with(c)); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", wrong, resp.StatusCode)
		}
	}
}

// Beside its story a stream has what it said last of each fact, and each event what it changed of
// that; a use of a consent changes nothing, what is sealed is told as sealed, and the pages that
// follow go on from what the former ones said.
func TestAStreamHasAState(t *testing.T) {
	s, c := newAuditor(t)
	event := func(leaf int64, kind, facts string) contract.LogEvent {
		e := s.logEvent(leaf)
		e.Type, e.Facts = kind, contract.ClearFacts(facts)
		return e
	}
	all := []contract.LogEvent{
		event(3, "consent.requested", `{"purpose":"discount","limits":{"uses":3},"until":"2026-09-01","at":"2026-06-01T10:00:00Z"}`),
		event(5, "access.authorized", `{"purpose":"another","at":"2026-06-02T10:00:00Z"}`),
		event(8, "consent.granted", `{"purpose":"discount","limits":{"uses":2},"until":"2026-08-01","at":"2026-06-03T10:00:00Z"}`),
	}
	s.answers["/events"] = contract.LogEvents{Items: all}
	body := s.page(c, "/auditor/stream?stream=consent-"+one.String(), speaking("en"))
	state, story, _ := strings.Cut(body, `<ol class="list">`)
	if missing := lacks(state, "What the stream says", "discount", "1 August 2026"); missing != nil || strings.Contains(state, "another") || strings.Contains(state, "1 September 2026") {
		t.Errorf("the state lacks %q, or tells what no longer is", missing)
	}
	events := strings.Split(story, "<h2>")
	if len(events) != 4 {
		t.Fatalf("%d events", len(events)-1)
	}
	granted, _, _ := strings.Cut(events[3], "<details>")
	if missing := lacks(granted, "What changed", "1 August 2026 (before: 1 September 2026)"); missing != nil || strings.Contains(granted, "discount") {
		t.Errorf("what the grant changed lacks %q, or has what it did not change", missing)
	}
	if strings.Contains(events[2], "What changed") || !strings.Contains(events[2], "another") || !strings.Contains(events[2], "Sealed, and read by nobody here: 12 bytes.") {
		t.Errorf("a use is told as %s", events[2])
	}
	if then := s.page(c, "/auditor/stream?size=9&after="+contract.LeafToken(8)+"&stream=consent-"+one.String(), speaking("en")); lacks(then, "1 August 2026") != nil {
		t.Error("a later page does not go on from what was said before")
	}
	if entries := s.page(c, "/auditor/stream?stream=access-"+one.String()+"-202606", speaking("en")); strings.Contains(entries, "What the stream says") {
		t.Error("a stream about many things has a state")
	}
}

// A stream is told as a story, in sentences, each with what is stored in clear.
func TestAStreamIsAStory(t *testing.T) {
	s, c := newAuditor(t)
	s.answers["/events"] = contract.LogEvents{Items: []contract.LogEvent{s.logEvent(6)}}
	for lang, sentence := range map[string]string{"nl": "Een toestemming werd gegeven", "fr": "Un consentement a été donné", "de": "Eine Einwilligung wurde erteilt", "en": "A consent was granted"} {
		if missing := lacks(s.page(c, "/auditor/stream?stream=consent-"+one.String(), speaking(lang)), sentence, "<i>discount</i>"); missing != nil {
			t.Errorf("%s: the story lacks %q", lang, missing)
		}
	}
	later := s.logEvent(6)
	later.Type = "consent.invented-later"
	s.answers["/events"] = contract.LogEvents{Items: []contract.LogEvent{later}}
	if missing := lacks(s.page(c, "/auditor/stream?stream=x", speaking("en")), "consent.invented-later"); missing != nil {
		t.Errorf("of a later version the story lacks %q", missing)
	}
	if resp := s.browser(http.MethodGet, "/auditor/stream", nil, with(c)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("no stream: %d", resp.StatusCode)
	}
}

var dataOf = regexp.MustCompile(`data-(clear|meta|sealed|time|type)="([^"]*)"`)

// An event is shown as it is stored, byte for byte, with all that its proof needs: the script has
// it, and so has whoever reads without one. The script runs on that page alone, from this host.
func TestAnEventIsShownWithItsProof(t *testing.T) {
	s, c := newAuditor(t)
	e := s.logEvent(6)
	e.Facts = contract.ClearFacts(`{"purpose":"discount","uses":3}`)
	s.answers["/events"] = contract.LogEvents{Items: []contract.LogEvent{e}}
	path := sha256.Sum256([]byte("beside"))
	s.answers["/log/proof/inclusion"] = contract.InclusionProof{Checkpoint: "coffre/x\n9\nroot\n\n— coffre/x sig\n", Hashes: contract.Hashes{path[:]}, Leaf: 6, Size: 9}
	resp := s.browser(http.MethodGet, "/auditor/events/6?size=9", nil, with(c), speaking("en"))
	body := s.text(resp)
	if missing := lacks(body, string(e.Facts), string(e.Metadata), base64.StdEncoding.EncodeToString(e.Sealed), "coffre/x\n9\nroot", base64.StdEncoding.EncodeToString(path[:]), base64.StdEncoding.EncodeToString([]byte("a key of the log")), "coffre audit verify one.bundle", "--stream consent-"+one.String(), "/auditor/events/5?size=9", "/auditor/events/7?size=9"); missing != nil || strings.Contains(body, base64.StdEncoding.EncodeToString([]byte("another key"))) {
		t.Errorf("the page lacks %q", missing)
	}
	got := map[string]string{}
	for _, found := range dataOf.FindAllStringSubmatch(body, -1) {
		got[found[1]] = found[2]
	}
	want := map[string]string{"clear": base64.StdEncoding.EncodeToString(e.Facts), "meta": base64.StdEncoding.EncodeToString(e.Metadata), "sealed": base64.StdEncoding.EncodeToString(e.Sealed), "time": "1781524800000000", "type": "consent.granted/2"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, not %q", name, got[name], value)
		}
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "script-src 'self'; connect-src 'self';") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	if log := s.browser(http.MethodGet, "/auditor", nil, with(c)).Header.Get("Content-Security-Policy"); !strings.Contains(log, "script-src 'self'; img-src") || strings.Contains(log, "unsafe") {
		t.Errorf("the log's policy is %q: its script asks nobody", log)
	}
	if other := s.browser(http.MethodGet, "/auditor/wallet", nil, with(c)).Header.Get("Content-Security-Policy"); strings.Contains(other, "script-src") {
		t.Errorf("another page's policy is %q", other)
	}
	script := regexp.MustCompile(`<script src="(/assets/verify-[0-9a-f]+\.js)" defer></script>`).FindStringSubmatch(body)
	if script == nil {
		t.Fatal("the page has no script")
	}
	if resp := s.browser(http.MethodGet, script[1], nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("the script: %d, %v", resp.StatusCode, resp.Header)
	}
}

// An event that no checkpoint covers yet is shown without a proof, and one that is not there is
// no page.
func TestAnEventWithoutAProof(t *testing.T) {
	s, c := newAuditor(t)
	s.answers["/events"], s.answers["/log/proof/inclusion"] = contract.LogEvents{Items: []contract.LogEvent{s.logEvent(0)}}, http.StatusNotFound
	body := s.page(c, "/auditor/events/0", speaking("en"))
	if missing := lacks(body, "No checkpoint covers this event yet.", "/auditor/events/1"); missing != nil || strings.Contains(body, "<form id=\"verify\"") {
		t.Errorf("the page lacks %q", missing)
	}
	s.answers["/events"] = contract.LogEvents{Items: []contract.LogEvent{}}
	for _, leaf := range []string{"9", "-1", "x"} {
		if resp := s.browser(http.MethodGet, "/auditor/events/"+leaf, nil, with(c)); resp.StatusCode != http.StatusNotFound {
			t.Errorf("event %s: %d", leaf, resp.StatusCode)
		}
	}
}

// What a citizen held is asked as of a moment, by their id, and shown without content.
func TestWhatACitizenHeldBackThen(t *testing.T) {
	s, c := newAuditor(t)
	s.wallet = contract.Wallet{Items: []contract.WalletItem{{Label: "Diploma <b>", State: contract.DocumentStateRevoked, IssuerName: "School", Version: 2, DocumentID: domain.DocumentID{UUID: one}}}}
	body := s.page(c, "/auditor/wallet?citizen="+one.String()+"&asOf=2026-03-01T12:00:00Z", speaking("en"))
	if missing := lacks(body, "Diploma <b>", "Revoked", "School", "/auditor/stream?stream=document-"+one.String()); missing != nil {
		t.Errorf("the page lacks %q", missing)
	}
	if !slices.ContainsFunc(s.queries, func(q string) bool { return strings.Contains(q, url.Values{"asOf": {"2026-03-01T12:00:00Z"}}.Encode()) }) {
		t.Errorf("asked %q", s.queries)
	}
	if resp := s.browser(http.MethodGet, "/auditor/wallet?citizen=84022711082", nil, with(c)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("by number: %d", resp.StatusCode)
	}
}
