package vault

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffre/domain"
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
	var url string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write([]byte(`{"issuer":"` + url + `","jwks_uri":"` + url + `/keys","keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	url = server.URL
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
		c := NewOIDC(url)
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
	if token.CheckURL(url) != nil {
		t.Error(url)
	}
}
