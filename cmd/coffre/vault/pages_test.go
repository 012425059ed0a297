package vault

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffre/domain"
	"coffre/eventstore/codec"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
	"coffre/handlers/pages"
)

// What administrations issue to one made-up person: a document that the law obliges to keep, and
// one that it does not.
const (
	civilStatus = "0206731645"
	kept        = `{"ssin": "84022711082", "documentType": "marriageCertificate", "sourceReference": "m-1", "validFrom": "2026-03-01",
		"content": {"certificateNumber": "1", "country": "BE", "date": "2026-03-01"}}`
	register = "0308356862"
	notKept  = `{"ssin": "84022711082", "documentType": "householdComposition", "sourceReference": "h-1", "validFrom": "2026-03-01",
		"content": {"asOf": "2026-03-01", "householdSize": 1, "members": []}}`
)

// serveIssued serves a vault for trying out, to which an administration issued a document a moment
// ago.
func serveIssued(t *testing.T, issuedBy, document string) *httptest.Server {
	t.Helper()
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(v.Handler())
	t.Cleanup(func() {
		site.Close()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	organisation, err := domain.ParseOrganisation(issuedBy)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := key.Mint(token.Grant{Role: domain.RoleIssuer, Organisation: organisation, Scopes: edge.Scopes(domain.RoleIssuer)}, v.Core.Now(), devSession)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL+contract.Base+"/documents", strings.NewReader(document))
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
	return site
}

// visitor is somebody with a browser of their own before a site.
type visitor struct {
	t       *testing.T
	site    string
	browser *http.Client
}

func newVisitor(t *testing.T, site *httptest.Server) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, site.URL, &http.Client{Jar: jar, Transport: site.Client().Transport}}
}

// read returns the page at which the browser ends, and its answer.
func (v *visitor) read(resp *http.Response, err error) (string, *http.Response) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(b), resp
}

func (v *visitor) get(path string) (string, *http.Response) {
	v.t.Helper()
	return v.read(v.browser.Get(v.site + path))
}

func (v *visitor) post(path string, form url.Values) (string, *http.Response) {
	v.t.Helper()
	return v.read(v.browser.PostForm(v.site+path, form))
}

var hiddenField = regexp.MustCompile(`name="(form|key)" value="([^"]+)"`)

// send fills in a form of the page at which the browser is, and sends it.
func (v *visitor) send(page, path string, form url.Values) (string, *http.Response) {
	v.t.Helper()
	for _, found := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(found[1], found[2])
	}
	return v.post(path, form)
}

// A person signs in at the pages of a vault for trying out, and sees there what an
// administration issued to them a moment ago; that they looked is on record as for the API.
func TestPagesServeAVaultForTryingOut(t *testing.T) {
	v := newVisitor(t, serveIssued(t, civilStatus, kept))
	form, resp := v.get("/?lang=en")
	if resp.Request.URL.Path != "/signin" || !strings.Contains(form, "This vault is for trying out") {
		t.Fatalf("nobody is led to %s", resp.Request.URL)
	}
	wallet, resp := v.post("/signin", url.Values{"number": {"84022711082"}})
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/wallet" || !strings.Contains(wallet, "Valid") || !strings.Contains(wallet, "from 1 March 2026") {
		t.Errorf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, wallet)
	}
	if strings.Contains(wallet, "84022711082") {
		t.Error("the page holds the number")
	}
	if _, resp := v.get(contract.Base + "/health"); resp.StatusCode != http.StatusOK {
		t.Errorf("the API behind the pages answers %d", resp.StatusCode)
	}
}

// An officer looks a citizen up with a reason and asks that everything be erased; they cannot
// approve it, and a second officer can. The citizen's number stands on no page and in no address.
func TestTwoOfficersEraseAtThePages(t *testing.T) {
	site := serveIssued(t, register, notKept)
	first, second := newVisitor(t, site), newVisitor(t, site)
	if page, resp := first.post("/signin", url.Values{"as": {"officer1"}}); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/officer" {
		t.Fatalf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, page)
	}
	form, _ := first.get("/officer/citizen?lang=en")
	citizen, resp := first.send(form, "/officer/citizen", url.Values{"number": {"84022711082"}, "reason": {"subjectRequest"}})
	at := resp.Request.URL.Path
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(at, "/officer/citizens/") || strings.Contains(citizen+at, "84022711082") {
		t.Fatalf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, citizen)
	}
	asked, resp := first.send(citizen, at+"/erase", url.Values{"reason": {"law"}})
	erasure := resp.Request.URL.Path
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(erasure, "/officer/erasures/") || !strings.Contains(asked, "requested") {
		t.Fatalf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, asked)
	}
	if refused, resp := first.send(asked, erasure+"/approve", url.Values{}); resp.StatusCode != http.StatusForbidden || !strings.Contains(refused, "A second person decides.") {
		t.Errorf("who asked gets %d:\n%s", resp.StatusCode, refused)
	}
	second.post("/signin", url.Values{"as": {"officer2"}})
	inbox, _ := second.get("/officer/inbox?lang=en")
	if !strings.Contains(inbox, erasure) {
		t.Fatalf("the inbox lacks the erasure:\n%s", inbox)
	}
	waiting, _ := second.get(erasure)
	if done, resp := second.send(waiting, erasure+"/approve", url.Values{}); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != erasure || strings.Contains(done, "/approve") {
		t.Errorf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, done)
	}
}

// Every page of an officer is answered by a vault that holds next to nothing.
func TestOfficersPagesOfAYoungVault(t *testing.T) {
	v := newVisitor(t, serveIssued(t, civilStatus, kept))
	v.post("/signin", url.Values{"as": {"officer1"}})
	for _, path := range []string{"/officer", "/officer/trend", "/officer/citizen", "/officer/consents", "/officer/consents?decision=granted&from=2026-01-01&until=2026-12-31&state=withdrawn", "/officer/exports", "/officer/inbox", "/officer/inbox/due", "/officer/register", "/officer/register/file", "/officer/register/file?format=pdf"} {
		if page, resp := v.get(path); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != strings.Split(path, "?")[0] {
			t.Errorf("%s answers %d:\n%s", path, resp.StatusCode, page)
		}
	}
	form, _ := v.get("/officer/exports?lang=en")
	export, resp := v.send(form, "/officer/exports", url.Values{"kind": {"consentLog"}, "format": {"csv"}, "reason": {"audit"}})
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Request.URL.Path, "/officer/exports/") {
		t.Errorf("an export answers %d:\n%s", resp.StatusCode, export)
	}
}

// Every page of an operator is answered by a vault that holds next to nothing, and a rotation of
// the key-encryption key that was confirmed is under way.
func TestOperatorsPagesOfAYoungVault(t *testing.T) {
	v := newVisitor(t, serveIssued(t, civilStatus, kept))
	v.post("/signin", url.Values{"as": {"operator"}})
	for _, path := range []string{"/operator", "/operator/keys", "/operator/reactors", "/operator/traffic", "/operator/traffic?month=2026-01", "/operator/acts/rebuild?name=wallet", "/operator/acts/rotate"} {
		if page, resp := v.get(path); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != strings.Split(path, "?")[0] {
			t.Errorf("%s answers %d:\n%s", path, resp.StatusCode, page)
		}
	}
	asked, _ := v.get("/operator/acts/rotate?lang=en")
	if keys, resp := v.send(asked, "/operator/acts/rotate", url.Values{}); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/operator/keys" || !strings.Contains(keys, "Version 2") {
		t.Errorf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, keys)
	}
}

// Every page of an auditor is answered by a vault that holds next to nothing; each type of event
// has its sentence.
func TestAuditorsPagesOfAYoungVault(t *testing.T) {
	v := newVisitor(t, serveIssued(t, civilStatus, kept))
	v.post("/signin", url.Values{"as": {"auditor"}})
	log, resp := v.get("/auditor?lang=en")
	if resp.StatusCode != http.StatusOK || !strings.Contains(log, "A document was issued") {
		t.Errorf("%s answers %d:\n%s", resp.Request.URL, resp.StatusCode, log)
	}
	for _, path := range []string{"/auditor?type=document.issued&role=issuer&organization=" + civilStatus + "&from=2026-01-01", "/auditor/stream?stream=registry", "/auditor/events/0", "/auditor/events/1", "/auditor/checkpoint", "/auditor/wallet", "/auditor/drift"} {
		if page, resp := v.get(path); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != strings.Split(path, "?")[0] {
			t.Errorf("%s answers %d:\n%s", path, resp.StatusCode, page)
		}
	}
	form, _ := v.get("/auditor/drift?lang=en")
	if begun, resp := v.send(form, "/auditor/drift", url.Values{"reason": {"audit"}}); resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Request.URL.Path, "/auditor/drift/") || !strings.Contains(begun, "Reference number") {
		t.Errorf("a comparison answers %d at %s:\n%s", resp.StatusCode, resp.Request.URL, begun)
	}
	var types []string
	for form := range codec.Catalog.Names() {
		name, _, _ := strings.Cut(form, "/")
		types = append(types, name)
	}
	slices.Sort(types)
	if types = slices.Compact(types); !slices.Equal(types, pages.EventTypes()) {
		t.Errorf("the log has %q, and the pages have sentences for %q", types, pages.EventTypes())
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

// Unless scopes are named, the provider is asked for those of every role that has pages.
func TestTheLoginAsksForTheScopesOfEveryRole(t *testing.T) {
	asked, err := ReadLogin("the-client", "", "")
	if err != nil || asked.Scopes[0] != "openid" {
		t.Fatalf("%v, %v", asked, err)
	}
	for _, role := range []domain.Role{domain.RoleCitizen, domain.RolePrivacyOfficer, domain.RoleAuditor, domain.RoleOperator} {
		for _, scope := range edge.Scopes(role) {
			if !slices.Contains(asked.Scopes, scope) {
				t.Errorf("a %s is not asked for %s", role, scope)
			}
		}
	}
	if named, err := ReadLogin("the-client", "", "openid,wallet:read"); err != nil || !slices.Equal(named.Scopes, []string{"openid", "wallet:read"}) {
		t.Errorf("%v, %v", named, err)
	}
}
