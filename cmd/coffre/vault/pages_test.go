package vault

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// A person signs in at the pages of a vault for trying out, and sees there what an
// administration issued to them a moment ago; that they looked is on record as for the API.
func TestPagesServeAVaultForTryingOut(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	site := httptest.NewServer(v.Handler())
	defer site.Close()
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	organisation, err := domain.ParseOrganisation("0206731645")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := key.Mint(token.Grant{Role: domain.RoleIssuer, Organisation: organisation, Scopes: edge.Scopes(domain.RoleIssuer)}, v.Core.Now(), devSession)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL+contract.Base+"/documents", strings.NewReader(`{
		"ssin": "84022711082", "documentType": "marriageCertificate", "sourceReference": "m-1", "validFrom": "2026-03-01",
		"content": {"certificateNumber": "1", "country": "BE", "date": "2026-03-01"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + issuer}, "Idempotency-Key": {"7d0b1f5e-3c1a-4b0e-9a55-2f6d8c9e4a11"}, "Content-Type": {"application/json"}}
	issued, err := site.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	issued.Body.Close()
	if issued.StatusCode != http.StatusCreated {
		t.Fatalf("issued: %d", issued.StatusCode)
	}
	if err := v.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: site.Client().Transport}
	read := func(resp *http.Response, err error) (string, *http.Response) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), resp
	}
	form, resp := read(browser.Get(site.URL + "/?lang=en"))
	if resp.Request.URL.Path != "/signin" || !strings.Contains(form, "This vault is for trying out") {
		t.Fatalf("nobody is led to %s", resp.Request.URL)
	}
	wallet, resp := read(browser.PostForm(site.URL+"/signin", url.Values{"number": {"84022711082"}}))
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/wallet" || !strings.Contains(wallet, "Valid") || !strings.Contains(wallet, "from 1 March 2026") {
		t.Errorf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, wallet)
	}
	if strings.Contains(wallet, "84022711082") {
		t.Error("the page holds the number")
	}
	if _, resp := read(browser.Get(site.URL + contract.Base + "/health")); resp.StatusCode != http.StatusOK {
		t.Errorf("the API behind the pages answers %d", resp.StatusCode)
	}
}

// With a client of the provider people log in there, and the page asks as whom the provider
// vouches for; without one there are no pages.
func TestPagesLogInAtTheProvider(t *testing.T) {
	provider := newTestProvider(t)
	dir, public := DataDir(t.TempDir()), &url.URL{Scheme: "https", Host: "vault.example"}
	o := Options{OIDC: NewOIDC(provider.URL), Public: public}
	without, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	asked := httptest.NewRequest(http.MethodGet, "/signin", nil)
	asked.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	without.Handler().ServeHTTP(w, asked)
	if err := without.Close(); err != nil || w.Code != http.StatusNotFound {
		t.Fatalf("without a client: %d, %v", w.Code, err)
	}

	if o.Login, err = ReadLogin("the-client", "", ""); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- v.provider.Run(ctx) }()
	defer func() { stop(); <-ran }()
	if _, err := v.provider.Key(t.Context(), "1"); err != nil { // waits for the first answer
		t.Fatal(err)
	}
	send := func(method, target string, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequest(method, "https://vault.example"+target, nil)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		v.Handler().ServeHTTP(w, r)
		return w.Result()
	}
	going := send(http.MethodPost, "/signin")
	to, err := url.Parse(going.Header.Get("Location"))
	if err != nil || "http://"+to.Host+to.Path != provider.URL+"/authorize" || !strings.Contains(to.Query().Get("scope"), "wallet:read") {
		t.Fatalf("led to %q, %v", to, err)
	}
	provider.grant = func(code, verifier string) string {
		if code != "the-code" || len(verifier) < 43 {
			t.Errorf("code %q, verifier %q", code, verifier)
		}
		return provider.signed(t, map[string]any{"role": domain.RoleCitizen, "ssin": "84022711082", "scope": strings.Join(edge.Scopes(domain.RoleCitizen), " ")})
	}
	back := send(http.MethodGet, "/signin/back?code=the-code&state="+to.Query().Get("state"), going.Cookies()...)
	if back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "/" {
		t.Fatalf("back: %d", back.StatusCode)
	}
	if wallet := send(http.MethodGet, "/wallet", back.Cookies()...); wallet.StatusCode != http.StatusOK {
		t.Errorf("the wallet: %d", wallet.StatusCode)
	}
	if at, err := v.provider.Login(); err != nil || at.EndSession != "" || at.Token != provider.URL+"/token" {
		t.Errorf("%+v, %v", at, err) // a log-out over plain HTTP is none
	}
}
