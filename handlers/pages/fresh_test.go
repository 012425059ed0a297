package pages_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
	"coffre/handlers/pages"
)

// erasureID is that of the erasure that the API answers with.
const erasureID = "3eafcf41-7d86-4a4f-8daa-5c3b9a4e1f77"

// Every grave act of every role asks for a fresh login: of one who logged in more than five
// minutes ago nothing reaches the API, and of one who did so a moment ago it does.
func TestGraveActsAskForAFreshLogin(t *testing.T) {
	s := newSite(t)
	ids := regexp.MustCompile(`\{\w+\}`)
	routes := pages.Personals()
	tried := 0
	for _, pattern := range pages.Graves() {
		roles, there := routes[pattern]
		method, target, _ := strings.Cut(pattern, " ")
		if !there || method != http.MethodPost || len(roles) != 1 {
			t.Errorf("%s is no route that does something, for one role", pattern)
			continue
		}
		targets := []string{ids.ReplaceAllString(target, one.String())}
		if strings.HasPrefix(target, "/operator/") {
			targets = []string{"/operator/acts/retire", "/operator/acts/trim", "/operator/acts/drop"}
		}
		for _, target := range targets {
			s.role = roles[0]
			c := s.signIn()
			send := func() (*http.Response, int) {
				s.did = nil
				home := map[domain.Role]string{domain.RoleCitizen: "/wallet", domain.RolePrivacyOfficer: "/officer/citizen", domain.RoleOperator: "/operator/acts/rotate"}[s.role]
				found := formToken.FindStringSubmatch(s.page(c, home))
				if found == nil {
					t.Fatalf("%s has no token of its session", home)
				}
				resp := s.browser(http.MethodPost, target, url.Values{"form": {found[1]}, "key": {someKey}, "reason": {"citizenRequest"}, "name": {"one"}, "leaf": {"9"}}, with(c))
				return resp, len(s.did)
			}
			if resp, did := send(); resp.Header.Get("Location") == "/signin" || did != 1 {
				t.Errorf("%s after a login of now: %d, %d acts", target, resp.StatusCode, did)
			}
			s.now = s.now.Add(5*time.Minute + time.Second)
			if resp, did := send(); resp.Header.Get("Location") != "/signin" || did != 0 {
				t.Errorf("%s after a login of before: %d to %q, %d acts", target, resp.StatusCode, resp.Header.Get("Location"), did)
			}
			tried++
		}
	}
	if tried < 7 {
		t.Errorf("%d tried", tried)
	}
}

// late is somebody who logged in at the provider six minutes ago and asks for an erasure: what the
// provider is asked with, and the cookies of the browser.
func late(t *testing.T) (*site, *provider, url.Values, *http.Cookie, *http.Cookie) {
	t.Helper()
	s, p, _ := newProvidedSite(t)
	s.subject = "anna"
	s.answers["/erasures"] = contract.Erasure{ErasureID: domain.ErasureID{UUID: uuid.MustParse(erasureID)}}
	p.signed = token.SignIn{Subject: "anna", At: s.now}
	asked, going := s.goes()
	c := cookieOf(s.comesBack("the-code", asked.Get("state"), with(going)), "__Host-coffre-session")
	if asked.Get("prompt") != "" || asked.Get("max_age") != "" || asked.Get("nonce") == "" {
		t.Fatalf("a first login asks %v", asked)
	}
	s.now = s.now.Add(6 * time.Minute)
	form := s.tokenOfForm(c, outside)
	s.did = nil
	resp := s.browser(http.MethodPost, "/erase", url.Values{"form": {form}, "key": {someKey}, "document": {one.String()}}, with(c), outside)
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther || to.Host != "login.example" || len(s.did) > 0 {
		t.Fatalf("an act after six minutes: %d to %q, did %q", resp.StatusCode, to, s.did)
	}
	next := cookieOf(resp, "__Host-coffre-login")
	if strings.Contains(to.String()+next.Value, one.String()) {
		t.Error("what was filled in is in the address, or in the browser")
	}
	return s, p, to.Query(), c, next
}

// An act that asks for a fresh login goes on after it as it was filled in, once, in the new session;
// the provider is asked to have the person prove who they are.
func TestAnActGoesOnAfterAFreshLogin(t *testing.T) {
	s, p, asked, c, login := late(t)
	if asked.Get("prompt") != "login" || asked.Get("max_age") != "0" || asked.Get("nonce") == "" || asked.Get("redirect_uri") != "https://vault.example/signin/back" {
		t.Errorf("the provider is asked %v", asked)
	}
	p.signed.At = s.now.Add(-time.Second)
	back := s.comesBack("the-code", asked.Get("state"), with(login), with(c))
	if want := "/erasures/" + erasureID; back.StatusCode != http.StatusSeeOther || !strings.HasPrefix(back.Header.Get("Location"), want) {
		t.Errorf("led to %q, %d", back.Header.Get("Location"), back.StatusCode)
	}
	if len(s.did) != 1 || !strings.HasPrefix(s.did[0], "/erasures "+someKey+" ") || !strings.Contains(s.did[0], one.String()) {
		t.Errorf("did %q", s.did)
	}
	if p.nonces[len(p.nonces)-1] != asked.Get("nonce") {
		t.Error("the ID token is judged for another login")
	}
	fresh := cookieOf(back, "__Host-coffre-session")
	if fresh == nil || fresh.Value == c.Value {
		t.Fatal("the session is not new")
	}
	if again := s.comesBack("the-code", asked.Get("state"), with(login), with(fresh)); len(s.did) != 1 {
		t.Errorf("a second time: %d, did %q", again.StatusCode, s.did)
	}
	for id, sealed := range s.rows {
		if strings.Contains(id+string(sealed), one.String()) {
			t.Error("the database holds in clear what was filled in")
		}
	}
}

// A provider that lets in whoever is logged in there, whatever max_age says, or that does not say
// when they logged in, has nothing done; the session of before goes on.
func TestAProviderThatIgnoresMaxAgeIsRefused(t *testing.T) {
	for name, change := range map[string]func(*site, *provider){
		"a login of before":          func(s *site, p *provider) { p.signed.At = s.now.Add(-6 * time.Minute) },
		"no moment":                  func(_ *site, p *provider) { p.signed.At = time.Time{} },
		"a moment to come":           func(s *site, p *provider) { p.signed.At = s.now.Add(time.Hour) },
		"an ID token that is none":   func(s *site, p *provider) { p.signed.At, p.wrong = s.now, token.ErrInvalid },
		"an ID token of another one": func(s *site, p *provider) { p.signed = token.SignIn{Subject: "bob", At: s.now} },
	} {
		s, p, asked, c, login := late(t)
		change(s, p)
		back := s.comesBack("the-code", asked.Get("state"), with(login), with(c), speaking("en"))
		if back.StatusCode != http.StatusForbidden || len(s.did) > 0 || lacks(s.text(back), "Nothing was done") != nil || cookieOf(back, "__Host-coffre-session") != nil {
			t.Errorf("%s: %d, did %q", name, back.StatusCode, s.did)
		}
		s.page(c, "/wallet", outside)
	}
}

// What somebody wanted is not done for another person who logs in, nor by another login, nor in
// another browser, nor after ten minutes.
func TestAnActWaitsForItsPersonAndItsLogin(t *testing.T) {
	s, p, asked, c, login := late(t)
	s.subject, p.signed = "bob", token.SignIn{Subject: "bob", At: s.now}
	if back := s.comesBack("the-code", asked.Get("state"), with(login), with(c), speaking("en")); back.StatusCode != http.StatusForbidden || lacks(s.text(back), "another person") != nil || len(s.did) > 0 {
		t.Errorf("another person: %d, did %q", back.StatusCode, s.did)
	}

	s, p, _, c, _ = late(t)
	p.signed.At = s.now
	other, theirs := s.goes()
	if back := s.comesBack("the-code", other.Get("state"), with(theirs), with(c)); back.Header.Get("Location") != "/" || len(s.did) > 0 {
		t.Errorf("another login: %d, did %q", back.StatusCode, s.did)
	}

	s, p, asked, _, login = late(t)
	p.signed.At = s.now
	if back := s.comesBack("the-code", asked.Get("state"), with(login)); back.Header.Get("Location") != "/" || len(s.did) > 0 {
		t.Errorf("another browser: %d, did %q", back.StatusCode, s.did)
	}

	s, p, asked, c, login = late(t)
	s.now = s.now.Add(10 * time.Minute)
	p.signed.At = s.now
	if back := s.comesBack("the-code", asked.Get("state"), with(login), with(c)); back.Header.Get("Location") != "/" || len(s.did) > 0 {
		t.Errorf("after ten minutes: %d, did %q", back.StatusCode, s.did)
	}

	s, _, asked, c, login = late(t)
	if back := s.comesBack("", asked.Get("state"), with(login), with(c)); back.Header.Get("Location") != "/" || len(s.did) > 0 {
		t.Errorf("who said no: %d, did %q", back.StatusCode, s.did)
	}
	s.page(c, "/wallet", outside)
}

// Where people are believed they choose themselves anew, and what they wanted is done.
func TestTheChooserAsksAnew(t *testing.T) {
	s := newSite(t)
	s.answers["/erasures"] = contract.Erasure{ErasureID: domain.ErasureID{UUID: uuid.MustParse(erasureID)}}
	c := s.signIn()
	s.now = s.now.Add(6 * time.Minute)
	resp := s.send(c, "/erase", url.Values{"key": {someKey}, "document": {one.String()}})
	login := cookieOf(resp, "coffre-dev-login")
	if resp.Header.Get("Location") != "/signin" || login == nil || len(s.did) > 0 {
		t.Fatalf("%d, %v, did %q", resp.StatusCode, resp.Header, s.did)
	}
	if page := s.page(c, "/signin", with(login), speaking("en")); lacks(page, "then what you asked for is done") != nil {
		t.Error("the chooser does not say what waits")
	}
	done := s.browser(http.MethodPost, "/signin", url.Values{"number": {number}}, with(c), with(login))
	if !strings.HasPrefix(done.Header.Get("Location"), "/erasures/"+erasureID) || len(s.did) != 1 || !strings.Contains(s.did[0], one.String()) {
		t.Errorf("led to %q, did %q", done.Header.Get("Location"), s.did)
	}
}
