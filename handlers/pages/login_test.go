package pages_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/edge/token"
	"coffre/handlers/pages"
)

// provider logs people in, as far as the pages see it.
type provider struct {
	server *httptest.Server
	asked  []url.Values // of the token endpoint
	basic  string       // the client's secret that came with the last of them
	status int          // of the token endpoint
	away   bool
	signed token.SignIn // what its ID tokens say
	wrong  error        // its ID tokens do not count
	nonces []string     // for which they were judged
}

func (p *provider) SignIn(_ context.Context, idToken, nonce string) (token.SignIn, error) {
	p.nonces = append(p.nonces, nonce)
	if idToken != "the-id-token" {
		return token.SignIn{}, token.ErrInvalid
	}
	return p.signed, p.wrong
}

func (p *provider) Client() *http.Client { return p.server.Client() }

func (p *provider) Login() (token.Endpoints, error) {
	if p.away {
		return token.Endpoints{}, &token.UnavailableError{Reason: "away"}
	}
	return token.Endpoints{Authorization: "https://login.example/authorize?tenant=1", Token: p.server.URL + "/token", EndSession: "https://logout.example/end"}, nil
}

// newProvidedSite is a site whose people log in at a provider.
func newProvidedSite(t *testing.T) (*site, *provider, *bytes.Buffer) {
	s, p, log := newSite(t), &provider{status: http.StatusOK}, new(bytes.Buffer)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		_, p.basic, _ = r.BasicAuth()
		p.asked = append(p.asked, r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.status)
		said := map[string]string{"access_token": "the-access-token", "token_type": "Bearer", "id_token": "the-id-token"}
		if p.status != http.StatusOK {
			said = map[string]string{"error": "invalid_grant", "error_description": "Anna said no"}
		}
		if err := json.NewEncoder(w).Encode(said); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(p.server.Close)
	s.pages.Slog = slog.New(slog.NewTextHandler(log, nil))
	s.pages.Login = &pages.Login{Provider: p, ClientID: "the-client", Secret: "the-secret", Scopes: []string{"openid", "wallet:read"}, Public: &url.URL{Scheme: "https", Host: "vault.example"}, SignIns: p}
	return s, p, log
}

func outside(r *http.Request) { r.RemoteAddr, r.Host = "192.0.2.7:50000", "vault.example" }

// goes sends a browser to the provider and returns with what: the address there, and the cookie.
func (s *site) goes() (url.Values, *http.Cookie) {
	s.t.Helper()
	resp := s.browser(http.MethodPost, "/signin", nil, outside)
	at, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther || at.Host != "login.example" || len(resp.Cookies()) != 1 {
		s.t.Fatalf("%d to %q, %v", resp.StatusCode, resp.Header.Get("Location"), err)
	}
	return at.Query(), resp.Cookies()[0]
}

// comesBack brings a browser back from the provider.
func (s *site) comesBack(code, state string, change ...func(*http.Request)) *http.Response {
	s.t.Helper()
	return s.browser(http.MethodGet, "/signin/back?"+url.Values{"code": {code}, "state": {state}}.Encode(), nil, append(change, outside, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })...)
}

func cookieOf(resp *http.Response, name string) *http.Cookie {
	for _, c := range resp.Cookies() {
		if c.Name == name && c.MaxAge >= 0 {
			return c
		}
	}
	return nil
}

// People log in at the provider, by a code that only the browser and the client that asked for it
// can use; the session is new, and its cookie no script's, no other site's and no other host's.
func TestPeopleLogInAtTheProvider(t *testing.T) {
	s, p, _ := newProvidedSite(t)
	form := s.browser(http.MethodGet, "/signin", nil, outside, speaking("en"))
	if missing := lacks(s.text(form), "Continue to sign in"); missing != nil || strings.Contains(s.text(form), "number") {
		t.Errorf("the form lacks %q", missing)
	}
	if csp := form.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://login.example https://logout.example;") || form.Header.Get("Strict-Transport-Security") == "" {
		t.Error(csp)
	}
	asked, going := s.goes()
	if going.Name != "__Host-coffre-login" || !going.Secure || !going.HttpOnly || going.Path != "/" || going.Domain != "" || going.SameSite != http.SameSiteLaxMode || going.MaxAge != 600 {
		t.Errorf("the cookie of the login: %v", going)
	}
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "the-client", "scope": "openid wallet:read", "redirect_uri": "https://vault.example/signin/back", "code_challenge_method": "S256", "tenant": "1",
	} {
		if asked.Get(name) != want {
			t.Errorf("%s is %q", name, asked.Get(name))
		}
	}
	back := s.comesBack("the-code", asked.Get("state"), with(going))
	c := cookieOf(back, "__Host-coffre-session")
	if back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "/" || c == nil || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Fatalf("back: %d, %v", back.StatusCode, back.Cookies())
	}
	sum := sha256.Sum256([]byte(p.asked[0].Get("code_verifier")))
	if p.asked[0].Get("code") != "the-code" || p.basic != "the-secret" || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
		t.Errorf("the token endpoint was asked %v", p.asked[0])
	}
	s.page(c, "/wallet", outside)
	if last := s.asked[0]; !strings.HasSuffix(last, "Bearer the-access-token") {
		t.Errorf("asked %q", last)
	}
	for id, sealed := range s.rows {
		if strings.Contains(id+string(sealed), "the-id-token") || strings.Contains(id+string(sealed), "the-access-token") {
			t.Error("the database holds what was granted")
		}
	}
	again, second := s.goes()
	if next := cookieOf(s.comesBack("code", again.Get("state"), with(second), with(c)), "__Host-coffre-session"); next == nil || next.Value == c.Value {
		t.Error("the session is not new at login")
	}
	if resp := s.browser(http.MethodGet, "/wallet", nil, with(c), outside); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the session of before the login answers %d", resp.StatusCode)
	}
}

// Whoever comes back in another browser than went, or with another's answer, is logged in
// nowhere, and no code of theirs is spent.
func TestAnotherBrowsersLoginIsRefused(t *testing.T) {
	s, p, _ := newProvidedSite(t)
	asked, going := s.goes()
	other, theirs := s.goes()
	for name, resp := range map[string]*http.Response{
		"no cookie":        s.comesBack("c", asked.Get("state")),
		"another's cookie": s.comesBack("c", asked.Get("state"), with(theirs)),
		"another's answer": s.comesBack("c", other.Get("state"), with(going)),
		"no state":         s.comesBack("c", "", with(going)),
	} {
		if resp.StatusCode != http.StatusBadRequest || cookieOf(resp, "__Host-coffre-session") != nil || len(p.asked) > 0 {
			t.Errorf("%s: %d, %v", name, resp.StatusCode, resp.Cookies())
		}
	}
	no := s.comesBack("", asked.Get("state"), with(going))
	if no.StatusCode != http.StatusSeeOther || no.Header.Get("Location") != "/signin" || cookieOf(no, "__Host-coffre-session") != nil {
		t.Errorf("who said no: %d", no.StatusCode)
	}
}

// Nobody is logged in whose token does not count or who has no pages, nor while the provider is
// away; the log holds nothing that it wrote.
func TestALoginThatFailsBeginsNoSession(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*site, *provider)
		status int
	}{
		"a role without pages": {func(s *site, _ *provider) { s.role = domain.RoleConsumer }, http.StatusForbidden},
		"a code that is spent": {func(_ *site, p *provider) { p.status = http.StatusBadRequest }, http.StatusServiceUnavailable},
		"a provider away":      {func(_ *site, p *provider) { p.away = true }, http.StatusServiceUnavailable},
	} {
		s, p, log := newProvidedSite(t)
		asked, going := s.goes()
		tc.change(s, p)
		resp := s.comesBack("the-code", asked.Get("state"), with(going))
		if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != tc.status || cookieOf(resp, "__Host-coffre-session") != nil || strings.Contains(string(body)+log.String(), "Anna") || strings.Contains(log.String(), "the-code") {
			t.Errorf("%s: %d, %s, %v", name, resp.StatusCode, log, err)
		}
	}
	s, p, _ := newProvidedSite(t)
	p.away = true
	if resp := s.browser(http.MethodPost, "/signin", nil, outside); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("on the way there: %d", resp.StatusCode)
	}
}

// Signing out ends the session here first and then the one at the provider, which knows whose by
// its own token.
func TestSigningOutEndsTheProvidersSession(t *testing.T) {
	s, _, _ := newProvidedSite(t)
	asked, going := s.goes()
	c := cookieOf(s.comesBack("the-code", asked.Get("state"), with(going)), "__Host-coffre-session")
	resp := s.browser(http.MethodPost, "/signout", url.Values{"form": {s.tokenOfForm(c)}}, with(c), outside)
	at, err := url.Parse(resp.Header.Get("Location"))
	if q := at.Query(); err != nil || at.Host != "logout.example" || q.Get("client_id") != "the-client" || q.Get("id_token_hint") != "the-id-token" || q.Get("post_logout_redirect_uri") != "https://vault.example/signedout" {
		t.Errorf("led to %s, %v", at, err)
	}
	if resp := s.browser(http.MethodGet, "/wallet", nil, with(c), outside); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/signin" {
		t.Errorf("the cookie of before: %d", resp.StatusCode)
	}
}
