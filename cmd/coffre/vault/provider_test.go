package vault

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// closed closes an instance that was opened, and returns what went wrong.
func closed(v *Instance, err error) error {
	if err == nil {
		err = v.Close()
	}
	return err
}

// opened opens a vault that ends with the test.
func opened(t *testing.T, dir DataDir, o Options) *Instance {
	t.Helper()
	v, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// withProvider returns options with a provider whose configuration was changed.
func withProvider(issuer string, change func(*OIDCConfig)) Options {
	c := NewOIDC(issuer)
	if change != nil {
		change(c)
	}
	return Options{OIDC: c}
}

// providerEvents returns how many events there are about who vouches for callers.
func providerEvents(t *testing.T, v *Instance) (n int) {
	t.Helper()
	for _, err := range v.Core.Log.Read(t.Context(), acting.ProviderStream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// I-1: whoever has a vault's directory, or a copy of it, does not start it with a provider
// of their own, nor with settings by which its provider's tokens make them somebody else.
func TestStartWithAnotherProviderIsRefused(t *testing.T) {
	dir := DataDir(t.TempDir())
	const issuer = "https://login.example"
	certificates := filepath.Join(t.TempDir(), "ca.pem")
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	if err := os.WriteFile(certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := closed(Open(t.Context(), dir, Options{Dev: true})); err != nil { // while it is for trying out
		t.Fatal(err)
	}
	if err := closed(Open(t.Context(), dir, withProvider(issuer, nil))); err != nil {
		t.Fatal(err)
	}
	restored := DataDir(filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(string(restored), os.DirFS(string(dir))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(restored.File(KEKFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o     Options
		names []string
	}{
		"another issuer":          {withProvider("https://mine.example", nil), []string{issuer, "https://mine.example", "coffre identity propose"}},
		"another audience":        {withProvider(issuer, func(c *OIDCConfig) { c.Profile.Audience = "mine" }), []string{"the audience coffre", "the audience mine"}},
		"another claim":           {withProvider(issuer, func(c *OIDCConfig) { c.Profile.Claims.SSIN = "nickname" }), []string{"claims.ssin"}},
		"another name of a role":  {withProvider(issuer, func(c *OIDCConfig) { c.Profile.Roles["everybody"] = domain.RolePrivacyOfficer }), []string{"roles.privacyOfficer"}},
		"another type":            {withProvider(issuer, func(c *OIDCConfig) { c.Profile.Types = []string{"JWT"} }), []string{"types"}},
		"a default role":          {withProvider(issuer, func(c *OIDCConfig) { c.Profile.DefaultRole = domain.RoleCitizen }), []string{"defaultRole"}},
		"certificates of its own": {withProvider(issuer, func(c *OIDCConfig) { c.CAFile = certificates }), []string{"certificates"}},
		"tokens of its own":       {Options{Dev: true}, []string{"--dev"}},
	} {
		for _, place := range []DataDir{dir, restored} {
			err := closed(Open(t.Context(), place, c.o))
			if !errors.Is(err, ErrOtherProvider) && !(c.o.Dev && errors.Is(err, ErrProvided)) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, one := range c.names {
				if !strings.Contains(err.Error(), one) {
					t.Errorf("%s: %q does not tell %q", name, err, one)
				}
			}
		}
	}
	// What decides nothing about anybody may change, and the provider on record starts.
	for range 2 {
		if err := closed(Open(t.Context(), dir, withProvider(issuer, func(c *OIDCConfig) { c.Refresh, c.Profile.MaxBytes = time.Minute, 2048 }))); err != nil {
			t.Error(err)
		}
	}
	v := opened(t, dir, Options{})
	if n := providerEvents(t, v); n != 1 {
		t.Errorf("%d events, want that of the first start", n)
	}
}

// I-1: a vault from before settings were on record gets them by its next start, with the
// issuer that is on record and with no other.
func TestVaultFromBeforeGetsItsProvidersSettings(t *testing.T) {
	dir := DataDir(t.TempDir())
	v, err := Open(t.Context(), dir, Options{})
	if err == nil {
		err = write(t, v, audit.ProviderNamed{Provider: audit.Provider{Issuer: "https://login.example"}, At: time.Now().UTC().Truncate(time.Microsecond)})
	}
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	if err := closed(Open(t.Context(), dir, withProvider("https://mine.example", nil))); !errors.Is(err, ErrOtherProvider) {
		t.Errorf("another one: %v", err)
	}
	if err := closed(Open(t.Context(), dir, withProvider("https://login.example", nil))); err != nil {
		t.Error(err)
	}
	v = opened(t, dir, Options{})
	r, err := v.Core.Providers(t.Context())
	if err != nil || r.Provider.Audience != "coffre" || len(r.Provider.Settings) == 0 || len(r.Proof) == 0 {
		t.Errorf("on record is %+v (%v)", r.Provider, err)
	}
}

// write appends an event as somebody who can write to the log and has no key.
func write(t *testing.T, v *Instance, e audit.Event) error {
	t.Helper()
	_, err := acting.Audits.Transact(t.Context(), v.Core.Log, v.Core.SystemWrite(acting.ProviderStream), audit.Record{Event: e})
	return err
}

// I-1: who can write to the log and has none of the vault's keys puts no provider on record,
// not with what another event proves either.
func TestRecordOfProvidersIsProved(t *testing.T) {
	first := audit.Provider{Issuer: "https://login.example"}
	mine := audit.Provider{Issuer: "https://mine.example", Audience: "coffre", Settings: NewOIDC("https://mine.example").Profile.Settings("")}
	at := time.Now().UTC().Truncate(time.Microsecond)
	for name, forged := range map[string]func(proof []byte) audit.Event{
		"a name without proof":        func([]byte) audit.Event { return audit.ProviderNamed{Provider: mine, At: at} },
		"a name as before":            func([]byte) audit.Event { return audit.ProviderNamed{Provider: first, At: at} },
		"a name with another's proof": func(proof []byte) audit.Event { return audit.ProviderNamed{Provider: mine, Proof: proof, At: at} },
		"a proposal": func(proof []byte) audit.Event {
			return audit.ProviderChangeProposed{Provider: mine, Change: uuid.New(), Reason: audit.ProviderReplaced, Proof: proof, At: at}
		},
		"an approval":    func(proof []byte) audit.Event { return audit.ProviderChangeApproved{Proof: proof, At: at} },
		"a confirmation": func(proof []byte) audit.Event { return audit.ProviderConfirmed{Proof: proof, At: at} },
		"something else": func([]byte) audit.Event { return audit.ExportCreated{At: at} },
	} {
		dir := DataDir(t.TempDir())
		v, err := Open(t.Context(), dir, withProvider("https://login.example", nil))
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Core.Providers(t.Context())
		if err == nil {
			err = write(t, v, forged(r.Proof))
		}
		if err := errors.Join(err, v.Close()); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, withProvider("https://mine.example", nil), withProvider("https://login.example", nil)} {
			if err := closed(Open(t.Context(), dir, o)); !errors.Is(err, acting.ErrProviderRecord) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// testProvider is an OpenID provider with one key.
type testProvider struct {
	*httptest.Server
	signer jose.Signer
	grant  func(code, verifier string) string // access token for a code; nil: nobody logs in here
}

func newTestProvider(t *testing.T) *testProvider {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: "1"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	p := &testProvider{signer: signer}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var said any = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "1", Algorithm: string(jose.EdDSA), Use: "sig"}}}
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			said = map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "end_session_endpoint": "http://unsafe.example/end"}
		}
		if r.URL.Path == "/token" {
			said = map[string]string{"access_token": p.grant(r.PostFormValue("code"), r.PostFormValue("code_verifier")), "token_type": "Bearer"}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(said); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// bearer returns a token of the provider in that role.
func (p *testProvider) bearer(t *testing.T, role domain.Role) string {
	return p.signed(t, map[string]any{"role": role, "scope": strings.Join(edge.Scopes(role), " ")})
}

// signed returns a token of the provider with claims beside those that every one has.
func (p *testProvider) signed(t *testing.T, more map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": p.URL, "aud": "coffre", "sub": "someone", "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(all, more)
	claims, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// call sends a request and returns the status and the body.
func call(h http.Handler, method, path, bearer, body string) (int, string) {
	r := httptest.NewRequest(method, contract.Base+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+bearer)
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", uuid.NewString())
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// proposal is the body that proposes the provider of these options.
func proposal(t *testing.T, o Options, reason string) string {
	t.Helper()
	is, err := o.OIDC.Provider()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(contract.IdentityProviderPropose{
		Provider: contract.IdentityProvider{Issuer: is.Issuer, Audience: is.Audience, Settings: is.Settings}, Reason: contract.IdentityProviderReason(reason),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// changeOf reads the change that an answer tells.
func changeOf(t *testing.T, body string) (c contract.IdentityProviderChange) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return c
}

// onTheMachine returns the bearer of an operator who says why.
func onTheMachine(t *testing.T, dir DataDir) string {
	t.Helper()
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := key.Mint(token.Grant{Role: domain.RoleOperator, Scopes: edge.Scopes(domain.RoleOperator), Why: "incident"}, time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return bearer
}

// I-2: an operator proposes and an officer of the provider on record approves; then a
// process starts with the new one, and those before may be started for a day.
func TestTwoPersonsChangeTheProvider(t *testing.T) {
	dir, old, next := DataDir(t.TempDir()), newTestProvider(t), newTestProvider(t)
	former, changed := withProvider(old.URL, nil), withProvider(next.URL, nil)
	v, err := Open(t.Context(), dir, former)
	if err != nil {
		t.Fatal(err)
	}
	machine := onTheMachine(t, dir)
	status, body := call(sentBy(1001, v.Control()), http.MethodPost, "/identityProvider/changes", machine, proposal(t, changed, "replaced"))
	if status != http.StatusAccepted {
		t.Fatalf("propose: %d %s", status, body)
	}
	waits := changeOf(t, body)
	approve := "/identityProvider/changes/" + waits.ChangeID.String() + "/approve"
	if status, body := call(sentBy(1002, v.Control()), http.MethodPost, approve, machine, ""); status != http.StatusForbidden {
		t.Errorf("another account approves: %d %s", status, body)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := closed(Open(t.Context(), dir, changed)); !errors.Is(err, ErrOtherProvider) || !strings.Contains(err.Error(), waits.ChangeID.String()) {
		t.Errorf("before it is approved: %v", err)
	}
	if v, err = Open(t.Context(), dir, former); err != nil {
		t.Fatal(err)
	}
	if status, body := call(v.Handler(), http.MethodPost, approve, old.bearer(t, domain.RolePrivacyOfficer), ""); status != http.StatusOK || changeOf(t, body).State != contract.IdentityProviderChangeStateApproved {
		t.Fatalf("approve: %d %s", status, body)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{changed, former} { // one process after the other
		if err := closed(Open(t.Context(), dir, o)); err != nil {
			t.Error(err)
		}
	}
	v = opened(t, dir, changed)
	if status, body := call(v.Handler(), http.MethodGet, "/identityProvider", next.bearer(t, domain.RoleAuditor), ""); status != http.StatusOK || !strings.Contains(body, next.URL) || !strings.Contains(body, `"confirmed":true`) || !strings.Contains(body, "formerUntil") {
		t.Errorf("%d %s", status, body)
	}
}

// I-4: where the provider is gone, two accounts of the machine change it; until an officer of
// the new one confirms it nobody else is let in, in no process, and the health is DEGRADED.
func TestRecoveredProviderLetsNobodyInUntilConfirmed(t *testing.T) {
	dir, next := DataDir(t.TempDir()), newTestProvider(t)
	if err := closed(Open(t.Context(), dir, withProvider("https://gone.example", nil))); err != nil {
		t.Fatal(err)
	}
	recovered := withProvider(next.URL, nil)
	v, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	machine := onTheMachine(t, dir)
	status, body := call(sentBy(1001, v.Control()), http.MethodPost, "/identityProvider/changes", machine, proposal(t, recovered, "gone"))
	if status != http.StatusAccepted {
		t.Fatalf("propose: %d %s", status, body)
	}
	approve := "/identityProvider/changes/" + changeOf(t, body).ChangeID.String() + "/approve"
	if status, body := call(sentBy(1001, v.Control()), http.MethodPost, approve, machine, ""); status != http.StatusForbidden || !strings.Contains(body, "secondPersonNeeded") {
		t.Errorf("the same account approves: %d %s", status, body)
	}
	if status, body := call(sentBy(1002, v.Control()), http.MethodPost, approve, machine, ""); status != http.StatusOK {
		t.Fatalf("another account approves: %d %s", status, body)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a start more changes nothing
		if v, err = Open(t.Context(), dir, recovered); err != nil {
			t.Fatal(err)
		}
		if err := v.Runner.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := v.Health(t.Context()); h != contract.HealthStatusDEGRADED {
			t.Errorf("the health is %s", h)
		}
		officer := next.bearer(t, domain.RolePrivacyOfficer)
		for what, c := range map[string]struct{ path, bearer string }{
			"an auditor": {"/events", next.bearer(t, domain.RoleAuditor)}, "an operator": {"/identityProvider", next.bearer(t, domain.RoleOperator)},
			"an officer": {"/legalHolds", officer},
		} {
			if status, body := call(v.Handler(), http.MethodGet, c.path, c.bearer, ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "identityProviderUnconfirmed") {
				t.Errorf("%s: %d %s", what, status, body)
			}
		}
		if status, body := call(v.Handler(), http.MethodGet, "/identityProvider", officer, ""); status != http.StatusOK || !strings.Contains(body, `"confirmed":false`) {
			t.Errorf("an officer looks: %d %s", status, body)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := closed(Open(t.Context(), dir, withProvider("https://gone.example", nil))); !errors.Is(err, ErrOtherProvider) {
		t.Errorf("the former provider: %v", err)
	}
	v = opened(t, dir, recovered)
	if status, body := call(v.Handler(), http.MethodPost, "/identityProvider/confirm", next.bearer(t, domain.RolePrivacyOfficer), ""); status != http.StatusOK || !strings.Contains(body, `"confirmed":true`) {
		t.Fatalf("confirm: %d %s", status, body)
	}
	if status, body := call(v.Handler(), http.MethodGet, "/events", next.bearer(t, domain.RoleAuditor), ""); status != http.StatusOK {
		t.Errorf("an auditor, confirmed: %d %s", status, body)
	}
	if v.recovering(t.Context()) {
		t.Error("the health still tells of a recovery")
	}
}

// A recovery whose record cannot be read lets nobody in.
func TestUnreadableRecordOfProvidersLetsNobodyIn(t *testing.T) {
	away := eventstore.ErrUnavailable
	door := confirmed{operators{}, func(context.Context) (bool, error) { return false, away }}
	if _, err := door.Authenticate(t.Context(), token.Presented{}); !errors.Is(err, away) {
		t.Error(err)
	}
}
