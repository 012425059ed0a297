package vault

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// none is nothing typed.
func none(string) (string, bool) { return "", false }

// env looks up variables.
func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// The settings of a provider come from flags or, where none is typed, from variables, and
// default to the profile that Coffre asks for.
func TestReadOIDC(t *testing.T) {
	if c, err := ReadOIDC(none, env(nil)); c != nil || err != nil {
		t.Errorf("nothing set: %+v, %v", c, err)
	}
	c, err := ReadOIDC(none, env(map[string]string{"COFFRE_OIDC_ISSUER": "https://login.example/"}))
	if err != nil || c.Profile.Issuer != "https://login.example/" || c.Profile.Audience != "coffre" || len(c.Profile.Types) != 1 || c.Profile.Types[0] != "at+jwt" ||
		len(c.Profile.Algorithms) != 4 || c.Profile.MaxBytes != 16384 || c.Refresh != 5*time.Minute || c.Outage != 24*time.Hour {
		t.Errorf("the defaults: %+v, %v", c, err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	all := env(map[string]string{
		"COFFRE_OIDC_ISSUER": "https://other.example", "COFFRE_OIDC_AUDIENCE": "vault", "COFFRE_OIDC_TYPES": "at+jwt, JWT", "COFFRE_OIDC_ALGORITHMS": "PS256",
		"COFFRE_OIDC_CLAIMS": "role=/realm_access/roles,ssin=https://login.example/claims/ssin", "COFFRE_OIDC_ROLES": "issuer=vault-issuer,privacyOfficer=dpo",
		"COFFRE_OIDC_DEFAULT_ROLE": "citizen", "COFFRE_OIDC_TOKEN_BYTES": "20000", "COFFRE_OIDC_REFRESH": "1m", "COFFRE_OIDC_OUTAGE": "2h", "COFFRE_OIDC_CA_FILE": ca,
	})
	typed := func(flag string) (string, bool) { return "https://login.example", flag == "oidc-issuer" }
	c, err = ReadOIDC(typed, all)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Profile
	if p.Issuer != "https://login.example" || p.Audience != "vault" || strings.Join(p.Types, " ") != "at+jwt JWT" || strings.Join(p.Algorithms, " ") != "PS256" ||
		p.Claims.Role != "/realm_access/roles" || p.Claims.SSIN != "https://login.example/claims/ssin" || p.Claims.Scope != "scope" ||
		p.Roles["vault-issuer"] != domain.RoleIssuer || p.Roles["issuer"] != "" || p.Roles["dpo"] != domain.RolePrivacyOfficer || p.Roles["auditor"] != domain.RoleAuditor ||
		p.DefaultRole != domain.RoleCitizen || p.MaxBytes != 20000 || c.Refresh != time.Minute || c.Outage != 2*time.Hour || c.CAFile != ca {
		t.Errorf("%+v", c)
	}
}

// Every mistake in the settings of a provider is told at once, by the name it was given under,
// and no value of a variable is repeated.
func TestReadOIDCTellsAllMistakes(t *testing.T) {
	_, err := ReadOIDC(func(flag string) (string, bool) { return "30m5", flag == "oidc-refresh" }, env(map[string]string{
		"COFFRE_OIDC_ISSUER": "http://i.example", "COFFRE_OIDC_CLAIMS": "king=crown", "COFFRE_OIDC_ROLES": "hunter2", "COFFRE_OIDC_TOKEN_BYTES": "many",
		"COFFRE_OIDC_OUTAGE": "25h", "COFFRE_OIDC_CA_FILE": filepath.Join(t.TempDir(), "hunter2"),
	}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"COFFRE_OIDC_ISSUER", "COFFRE_OIDC_CLAIMS", "COFFRE_OIDC_ROLES", "COFFRE_OIDC_TOKEN_BYTES", "--oidc-refresh", "COFFRE_OIDC_OUTAGE", "COFFRE_OIDC_CA_FILE"} {
		if !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s is not named in %q", name, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "crown") {
		t.Errorf("a value is repeated: %v", err)
	}
	for name, vars := range map[string]map[string]string{
		"no provider is named": {"COFFRE_OIDC_TYPES": "JWT"},
		"accepted type":        {"COFFRE_OIDC_ISSUER": "https://i.example", "COFFRE_OIDC_TYPES": "id+jwt"},
		"accepted algorithm":   {"COFFRE_OIDC_ISSUER": "https://i.example", "COFFRE_OIDC_ALGORITHMS": "HS256"},
		"token's limit":        {"COFFRE_OIDC_ISSUER": "https://i.example", "COFFRE_OIDC_TOKEN_BYTES": "1000000"},
		"is citizen":           {"COFFRE_OIDC_ISSUER": "https://i.example", "COFFRE_OIDC_DEFAULT_ROLE": "operator"},
	} {
		if _, err := ReadOIDC(none, env(vars)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v, want %q", vars, err, name)
		}
	}
}

// A provider with a certificate of an own authority is trusted by a file, and by nothing else.
func TestProviderWithItsOwnAuthority(t *testing.T) {
	var at string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write([]byte(`{"issuer":"` + at + `","jwks_uri":"` + at + `/keys","keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	at = server.URL
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAssembly(t.Context(), "", Options{})
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, file := range []string{ca, ""} {
		c := NewOIDC(at)
		c.CAFile = file
		keys, err := a.keysOf(c)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.Key(t.Context(), "ed")
		if (err == nil) != (file != "") || err == nil && key.KeyID != "ed" {
			t.Errorf("trusting %q: %v", file, err)
		}
	}
	if token.CheckURL(at) != nil {
		t.Error(at)
	}
}

// provider is an OpenID provider with one key.
type provider struct {
	*httptest.Server
	private *ecdsa.PrivateKey
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{private: key}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := set
		if r.URL.Path != "/keys" {
			answer = fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":%q}`, p.URL, p.URL+"/keys")
		}
		if _, err := w.Write(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// sign returns a JWT of claims.
func sign(t *testing.T, key *ecdsa.PrivateKey, o *jose.SignerOptions, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *provider) token(t *testing.T, more map[string]any) string {
	t.Helper()
	c := map[string]any{
		"iss": p.URL, "aud": "coffre", "sub": "u", "exp": time.Now().Add(time.Hour).Unix(), "role": "auditor", "scope": strings.Join(edge.Scopes(domain.RoleAuditor), " "),
	}
	maps.Copy(c, more)
	return sign(t, p.private, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "one"), c)
}

// A vault that knows a provider lets in whom its tokens name, and whom a bound token names
// with a proof: once, with the nonce that the vault gave.
func TestProviderVouchesForCallers(t *testing.T) {
	p := newProvider(t)
	public, err := url.Parse("https://vault.example")
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	v, err := Open(t.Context(), DataDir(t.TempDir()), Options{OIDC: NewOIDC(p.URL), Public: public, Logger: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	const path = contract.Base + "/events"
	ask := func(authorization string, proofs ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path+"?pageSize=1", nil)
		r.Header.Set("Authorization", authorization)
		r.Header["Dpop"] = proofs
		w := httptest.NewRecorder()
		v.Handler().ServeHTTP(w, r)
		return w
	}
	if w := ask("Bearer " + p.token(t, nil)); w.Code != http.StatusOK {
		t.Errorf("a token: %d %s", w.Code, w.Body)
	}
	if w := ask("Bearer " + p.token(t, map[string]any{"role": "king"})); w.Code != http.StatusUnauthorized {
		t.Errorf("a role that is none: %d", w.Code)
	}
	holder, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	print, err := (&jose.JSONWebKey{Key: holder.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	bound := p.token(t, map[string]any{"cnf": map[string]any{"jkt": base64.RawURLEncoding.EncodeToString(print)}})
	proof := func(nonce string) string {
		sum := sha256.Sum256([]byte(bound))
		return sign(t, holder, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), map[string]any{
			"jti": rand.Text(), "htm": "GET", "htu": public.String() + path, "iat": time.Now().Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]), "nonce": nonce,
		})
	}
	if w := ask("Bearer " + bound); w.Code != http.StatusUnauthorized {
		t.Errorf("a bound token as a bearer token: %d", w.Code)
	}
	w := ask("DPoP "+bound, proof(""))
	nonce := w.Header().Get("DPoP-Nonce")
	if w.Code != http.StatusUnauthorized || nonce == "" || !strings.Contains(w.Header().Get("WWW-Authenticate"), "use_dpop_nonce") {
		t.Errorf("without a nonce: %d %v", w.Code, w.Header())
	}
	good := proof(nonce)
	if w := ask("DPoP "+bound, good); w.Code != http.StatusOK {
		t.Errorf("with a proof: %d %s", w.Code, w.Body)
	}
	if w := ask("DPoP "+bound, good); w.Code != http.StatusUnauthorized {
		t.Errorf("with a used proof: %d", w.Code)
	}
	if v.strange() {
		t.Error("nobody can be let in")
	}
	if err := v.Close(); err != nil { // the log is whole
		t.Fatal(err)
	}
	for _, check := range []string{"check=role", "check=cnf.jkt", "check=dpop.nonce", "check=dpop.jti"} {
		if strings.Count(told.String(), check) != 1 {
			t.Errorf("%s is not in one line of the log: %s", check, told.String())
		}
	}
	if strings.Contains(told.String(), "king") || strings.Contains(told.String(), bound) {
		t.Error("the log holds a value of a token")
	}
}

// lines is a log that tells of each line.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default: // nobody waits for so many
	}
	return len(b), nil
}

// F40: the provider is asked once when the vault starts, before anybody comes, and what is
// wrong with it is said then; until its keys are known the vault is not well.
func TestF40ProviderIsAskedAtTheStart(t *testing.T) {
	p, told := newProvider(t), make(lines, 100)
	v, err := Open(t.Context(), DataDir(t.TempDir()), Options{OIDC: NewOIDC(p.URL + "/"), Logger: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	<-v.Built(t.Context())
	for {
		select {
		case line := <-told:
			if !strings.Contains(line, "does not tell its keys") {
				continue
			}
			if !strings.Contains(line, "letter by letter") || !v.strange() || v.Health(t.Context()) != contract.HealthStatusDEGRADED {
				t.Errorf("%s, %q", v.Health(t.Context()), line)
			}
			return
		case <-t.Context().Done():
			t.Fatal("nothing is said")
		}
	}
}
