package pages_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/sessions"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
	"coffre/handlers/pages"
)

// number is a valid one of nobody, as the demo makes them.
const number = "84022711082"

// site is pages before an API that answers what a test says.
type site struct {
	t       *testing.T
	pages   *pages.Pages
	role    domain.Role // of whoever signs in
	subject string      // the provider's name for them
	asked   []string    // of the API, with the token
	wallet  contract.Wallet
	answers map[string]any    // of the API, by path below its base
	did     []string          // what was posted to the API: path, key and body
	rows    map[string][]byte // what Sessions was given
	now     time.Time
	minted  []pages.Somebody // who signed in
	queries []string         // of what the API was asked
}

func newSite(t *testing.T) *site {
	table, err := sessions.Open(t.Context(), ringtest.OpenDB(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, role: domain.RoleCitizen, answers: map[string]any{}, rows: map[string][]byte{}, now: time.Date(2026, time.June, 15, 12, 0, 0, 0, time.UTC)}
	s.pages = &pages.Pages{
		API: s, Auth: s, Sessions: seen{table, s}, Now: func() time.Time { return s.now }, Slog: slog.New(slog.DiscardHandler),
		Mint: func(who pages.Somebody) (string, error) {
			s.minted = append(s.minted, who)
			return "the-access-token", nil
		},
	}
	return s
}

// seen keeps what the pages have remembered.
type seen struct {
	*sessions.Table
	s *site
}

func (o seen) Begin(ctx context.Context, id, sealed []byte, now, idle, until time.Time) error {
	o.s.rows[string(id)] = sealed
	return o.Table.Begin(ctx, id, sealed, now, idle, until)
}

func (s *site) Authenticate(_ context.Context, p token.Presented) (edge.Caller, error) {
	if p.Token != "the-access-token" {
		return edge.Caller{}, errors.New("another token")
	}
	return edge.Caller{Role: s.role, Subject: s.subject, Citizen: domain.CitizenID{UUID: uuid.MustParse(me)}}, nil
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.queries = append(s.queries, r.URL.RawQuery)
	s.asked = append(s.asked, r.URL.Path+" "+r.Header.Get("Authorization"))
	var answer any = contract.Registry{Categories: []contract.RegistryCode{}, DocumentTypes: []contract.RegistryDocumentType{}, Organizations: []contract.RegistryOrganization{}, Purposes: []contract.RegistryCode{}}
	if strings.HasSuffix(r.URL.Path, "/wallet") {
		answer = s.wallet
	}
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			s.t.Error(err)
		}
		s.did = append(s.did, strings.TrimPrefix(r.URL.Path, contract.Base)+" "+r.Header.Get("Idempotency-Key")+" "+string(body))
		w.Header().Set("Coffre-Position", "seen")
	}
	switch said := s.answers[strings.TrimPrefix(r.URL.Path, contract.Base)].(type) {
	case nil:
	case int:
		w.WriteHeader(said)
		answer = contract.Problem{Type: "urn:problem-type:coffre:said"}
	case refusal:
		w.WriteHeader(said.status)
		answer = said
	default:
		answer = said
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.t.Error(err)
	}
}

// browser sends one request from this machine.
func (s *site) browser(method, target string, form url.Values, change ...func(*http.Request)) *http.Response {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "127.0.0.1:8080"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.pages.Handler().ServeHTTP(w, r)
	return w.Result()
}

func with(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }

func speaking(lang string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Accept-Language", lang) }
}

// signIn returns the cookie of a new session.
func (s *site) signIn(change ...func(*http.Request)) *http.Cookie {
	s.t.Helper()
	resp := s.browser(http.MethodPost, "/signin", url.Values{"number": {number}}, change...)
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/wallet" || len(cookies) != 1 {
		s.t.Fatalf("signing in: %d, %v", resp.StatusCode, resp.Header)
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		s.t.Errorf("the cookie: %v", c)
	}
	return cookies[0]
}

func (s *site) text(resp *http.Response) string {
	s.t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// me is the citizen who signs in, child somebody whom they represent.
const me, child = "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44", "1c8fad2f-5b64-4e2d-8b88-3a1f7e2c9d55"

// page returns what a signed-in person sees at an address.
func (s *site) page(c *http.Cookie, target string, change ...func(*http.Request)) string {
	s.t.Helper()
	resp := s.browser(http.MethodGet, target, nil, append(change, with(c))...)
	if resp.StatusCode != http.StatusOK {
		s.t.Errorf("%s: %d", target, resp.StatusCode)
	}
	return s.text(resp)
}

// lacks returns those of the texts that a page does not hold, as it would write them.
func lacks(body string, texts ...string) (missing []string) {
	for _, one := range texts {
		if !strings.Contains(body, html.EscapeString(one)) {
			missing = append(missing, one)
		}
	}
	return missing
}

// send fills in the form of a page and sends it to an address.
func (s *site) send(c *http.Cookie, to string, form url.Values, change ...func(*http.Request)) *http.Response {
	s.t.Helper()
	form.Set("form", s.tokenOfForm(c))
	return s.browser(http.MethodPost, to, form, append(change, with(c))...)
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

func (s *site) tokenOfForm(c *http.Cookie, change ...func(*http.Request)) string {
	s.t.Helper()
	found := formToken.FindStringSubmatch(s.text(s.browser(http.MethodGet, "/wallet", nil, append(change, with(c))...)))
	if found == nil {
		s.t.Fatal("the page has no token of its session")
	}
	return found[1]
}

// The page asks the API as whoever is logged in, and says in each language what it answers.
func TestWalletInFourLanguages(t *testing.T) {
	s := newSite(t)
	s.wallet = contract.Wallet{Items: []contract.WalletItem{{
		DocumentType: "marriageCertificate", Label: "Huwelijksakte", Issuer: "0206731645", State: contract.DocumentStateRevoked, HeldAs: contract.HeldAsSubject,
		ValidFrom: "2026-03-01", WhoMayRead: []contract.Reader{{Organization: "0206731645", Purpose: "schoolAllowance"}},
	}}}
	c := s.signIn()
	for lang, want := range map[string][]string{
		"nl": {"Uw documenten", "Ingetrokken", "vanaf 1 maart 2026"}, "fr": {"Vos documents", "Révoqué", "à partir du 1 mars 2026"},
		"de": {"Ihre Dokumente", "Widerrufen", "ab 1. März 2026"}, "en": {"Your documents", "Revoked", "from 1 March 2026"},
	} {
		resp := s.browser(http.MethodGet, "/wallet", nil, with(c), speaking(lang))
		body := s.text(resp)
		for _, one := range append(want, `<html lang="`+lang+`">`, "Huwelijksakte", "0206731645") {
			if resp.StatusCode != http.StatusOK || !strings.Contains(body, one) {
				t.Errorf("%s: %d, without %q", lang, resp.StatusCode, one)
			}
		}
		if len(body) > 100_000 {
			t.Errorf("%s: %d bytes", lang, len(body))
		}
	}
	if want := "/vault/v1/citizens/0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44/wallet Bearer the-access-token"; s.asked[0] != want {
		t.Errorf("asked %q", s.asked)
	}
}

// A session that somebody put into the browser before the login is not the one after it.
func TestSessionIsNewAtLogin(t *testing.T) {
	s := newSite(t)
	first := s.signIn()
	second := s.signIn(with(first))
	if first.Value == second.Value {
		t.Fatal("the session has the id of before")
	}
	if resp := s.browser(http.MethodGet, "/wallet", nil, with(first)); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the session of before answers %d", resp.StatusCode)
	}
	chosen := *first
	chosen.Value = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if third := s.signIn(with(&chosen)); third.Value == chosen.Value {
		t.Error("the browser chose its session's id")
	}
}

// What was stolen from a browser is worth nothing once the person signed out, and what is in
// the database opens nothing.
func TestCookieIsWorthNothingAfterSignOut(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	for id, sealed := range s.rows {
		if strings.Contains(id+string(sealed), "the-access-token") || strings.Contains(id+string(sealed), c.Value) {
			t.Error("the row holds what the browser has, or the token")
		}
	}
	resp := s.browser(http.MethodPost, "/signout", url.Values{"form": {s.tokenOfForm(c)}}, with(c))
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/signedout" || len(resp.Cookies()) != 1 || resp.Cookies()[0].MaxAge >= 0 {
		t.Fatalf("signing out: %d, %v", resp.StatusCode, resp.Header)
	}
	if resp := s.browser(http.MethodGet, "/wallet", nil, with(c)); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/signin" {
		t.Errorf("the cookie of before: %d", resp.StatusCode)
	}
}

// A session ends when nobody uses it for a quarter of an hour, and after eight hours. A page that is
// left open, whose script asks how things are, does not keep it.
func TestSessionEndsByItself(t *testing.T) {
	s := newSite(t)
	idle, used := s.signIn(), s.signIn()
	ask := func(c *http.Cookie) int { return s.browser(http.MethodGet, "/wallet", nil, with(c)).StatusCode }
	for began := s.now; s.now.Before(began.Add(8 * time.Hour)); s.now = s.now.Add(10 * time.Minute) {
		if got := ask(used); got != http.StatusOK {
			t.Fatalf("after %s: %d", s.now.Sub(began), got)
		}
	}
	if ask(used) != http.StatusSeeOther || ask(idle) != http.StatusSeeOther {
		t.Error("a session goes on")
	}
	byItself := func(r *http.Request) { r.Header.Set("Coffre-Unattended", "yes") }
	left := s.signIn()
	for _, want := range []int{http.StatusOK, http.StatusOK, http.StatusSeeOther} {
		if got := s.browser(http.MethodGet, "/wallet", nil, with(left), byItself).StatusCode; got != want {
			t.Errorf("a page left open, at %s: %d", s.now.Format(time.TimeOnly), got)
		}
		s.now = s.now.Add(8 * time.Minute)
	}
}

// No other site acts in a person's name: neither by a form of its own nor by one with the
// token of another session.
func TestForgedFormsAreRefused(t *testing.T) {
	s := newSite(t)
	c, other := s.signIn(), s.signIn()
	for name, tc := range map[string]struct {
		form   url.Values
		change func(*http.Request)
	}{
		"no token":          {nil, func(*http.Request) {}},
		"another's token":   {url.Values{"form": {s.tokenOfForm(other)}}, func(*http.Request) {}},
		"another site":      {url.Values{"form": {s.tokenOfForm(c)}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		"an older browser":  {url.Values{"form": {s.tokenOfForm(c)}}, func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }},
		"another port here": {url.Values{"form": {s.tokenOfForm(c)}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }},
	} {
		if resp := s.browser(http.MethodPost, "/signout", tc.form, with(c), tc.change); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if resp := s.browser(http.MethodGet, "/wallet", nil, with(c)); resp.StatusCode != http.StatusOK {
		t.Error("the session was ended")
	}
	cross := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	if resp := s.browser(http.MethodPost, "/signin", url.Values{"number": {number}}, cross); resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) > 0 {
		t.Errorf("another site signs somebody in: %d", resp.StatusCode)
	}
}

// Every page says that no site may frame it, that nothing keeps it, and what it may load: the
// back button after signing out shows nothing.
func TestPagesAreNeitherFramedNorKept(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	for _, path := range []string{"/wallet", "/signin", "/signedout", "/accessibility", "/data", "/erase", "/consents/no-id", "/wallet/nothing"} {
		h := s.browser(http.MethodGet, path, nil, with(c)).Header
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %q", path, csp)
		}
	}
}

// Where there is no page, a browser reads so in the person's language, and a program gets what
// the API answers; what is the API's is never a page.
func TestThereIsNoSuchPage(t *testing.T) {
	s := newSite(t)
	asking := func(accept string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Accept", accept); r.Header.Set("Accept-Language", "fr") }
	}
	for _, tc := range []struct {
		path, accept string
		page         bool
	}{
		{"/nowhere", "text/html,application/xhtml+xml", true},
		{"/nowhere", "application/json", false},
		{"/nowhere", "", false},
		{"/wallet/nothing", "", true},
		{"/vault/v1/nothing", "text/html", false},
		{"/vault/v1", "text/html", false},
		{"/health", "text/html", false},
		{"/healthy", "text/html", true},
		{"/readyz", "text/html", false},
	} {
		s.asked = nil
		resp := s.browser(http.MethodGet, tc.path, nil, asking(tc.accept))
		page := resp.StatusCode == http.StatusNotFound && strings.Contains(s.text(resp), `<html lang="fr">`)
		if page != tc.page || page == (len(s.asked) > 0) {
			t.Errorf("%s for %q: %d, the API was asked %q", tc.path, tc.accept, resp.StatusCode, s.asked)
		}
	}
	if resp := s.browser(http.MethodPost, "/nowhere", nil, asking("text/html")); resp.StatusCode != http.StatusOK || len(s.asked) == 0 {
		t.Errorf("a form for no page: %d", resp.StatusCode)
	}
}

// The page names its language, and the chosen one by a value that readers of screens know.
func TestTheLanguageIsMarked(t *testing.T) {
	s := newSite(t)
	body := s.text(s.browser(http.MethodGet, "/signin", nil, speaking("de")))
	if strings.Count(body, "aria-current") != 1 || !regexp.MustCompile(`lang="de" hreflang="de" aria-current="true"`).MatchString(body) {
		t.Error("the language of the page is not marked")
	}
}

// No address takes the browser to another host.
func TestNoOpenRedirect(t *testing.T) {
	s := newSite(t)
	for _, target := range []string{"/wallet?lang=fr", "/signin?lang=fr&to=https://evil.example", "/?lang=fr", "/wallet//evil.example?lang=fr", "/assets//evil.example?lang=fr"} {
		to := s.browser(http.MethodGet, target, nil).Header.Get("Location")
		if u, err := url.Parse(to); err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) {
			t.Errorf("%s leads to %q", target, to)
		}
	}
}

// Text that comes from a document, the registry or a consent is text.
func TestTextsAreNoMarkup(t *testing.T) {
	s := newSite(t)
	for _, payload := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</li></ul><form action=//evil.example>`, `javascript:alert(1)//evil.example`} {
		s.wallet = contract.Wallet{Items: []contract.WalletItem{{
			Label: payload, IssuerName: payload, DocumentType: contract.DocumentTypeCode(payload), State: contract.DocumentStateValid, HeldAs: contract.HeldAsSubject, ValidUntil: contract.Day(payload),
			WhoMayRead: []contract.Reader{{OrganizationName: payload, PurposeLabel: payload}},
		}}}
		body := s.text(s.browser(http.MethodGet, "/wallet", nil, with(s.signIn())))
		if strings.Contains(body, payload) && !strings.HasPrefix(payload, "javascript:") || !strings.Contains(body, "alert(1)") && !strings.Contains(body, "evil.example") {
			t.Errorf("%s stands in the page as it is, or not at all", payload)
		}
		s.allSay(payload)
		c := s.signIn()
		for _, target := range readPages {
			if body := s.page(c, target); strings.Contains(body, payload) && !strings.HasPrefix(payload, "javascript:") || strings.Contains(body, `href="javascript:`) {
				t.Errorf("%s stands in %s as it is", payload, target)
			}
		}
	}
}

// Every personal page is for the roles that it names, and for nobody without a session; a form
// without the session's token is refused before the API is asked.
func TestPagesRefuseOtherRoles(t *testing.T) {
	s := newSite(t)
	ids := regexp.MustCompile(`\{\w+\}`)
	for pattern, roles := range pages.Personals() {
		method, target, _ := strings.Cut(ids.ReplaceAllString(pattern, one.String()), " ")
		for _, role := range []domain.Role{domain.RoleIssuer, domain.RoleConsumer, domain.RoleCitizen, domain.RoleAuditor, domain.RolePrivacyOfficer, domain.RoleOperator} {
			s.role = role
			c := s.signIn()
			s.asked = nil
			resp := s.browser(method, target, url.Values{"key": {someKey}}, with(c))
			may := slices.Contains(roles, role)
			if refused := resp.StatusCode == http.StatusForbidden; refused == (may && method == http.MethodGet) || refused && len(s.asked) > 0 {
				t.Errorf("%s, %s: %d, asked %q", pattern, role, resp.StatusCode, s.asked)
			}
		}
		if resp := s.browser(method, target, nil); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/signin" {
			t.Errorf("%s, nobody: %d", pattern, resp.StatusCode)
		}
	}
}

// Where whoever signs in is believed, nobody signs in but on this machine, under its own name.
func TestPagesAreForThisMachine(t *testing.T) {
	s := newSite(t)
	for name, change := range map[string]func(*http.Request){
		"from elsewhere":       func(r *http.Request) { r.RemoteAddr = "192.0.2.7:50000" },
		"under another's name": func(r *http.Request) { r.Host = "evil.example:8080" },
	} {
		resp := s.browser(http.MethodPost, "/signin", url.Values{"number": {number}}, change)
		if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) > 0 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if resp := s.browser(http.MethodPost, "/signin", url.Values{"number": {"12345678901"}}); resp.StatusCode != http.StatusBadRequest || strings.Contains(s.text(resp), "12345678901") {
		t.Errorf("a wrong number: %d, or it is repeated", resp.StatusCode)
	}
}
