package vault

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// Where a provider vouches for callers, the tokens of the directory's own key
// count on the control socket and nowhere else.
func TestOwnTokensCountOnTheControlSocketOnly(t *testing.T) {
	dir := DataDir(t.TempDir())
	provider := httptest.NewTLSServer(http.NotFoundHandler()) // it knows no key
	defer provider.Close()
	v, err := Open(t.Context(), dir, Options{OIDCIssuer: provider.URL, OIDCAudience: "coffre"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := key.Mint(token.Grant{Role: domain.RoleOperator, Subject: "me", Scopes: edge.Scopes(domain.RoleOperator)}, time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(h http.Handler) int {
		r := httptest.NewRequest(http.MethodGet, contract.Base+"/projections", nil)
		r.Header.Set("Authorization", "Bearer "+bearer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if code := ask(v.Control()); code != http.StatusOK {
		t.Errorf("on the control socket: %d", code)
	}
	if code := ask(v.Handler()); code != http.StatusUnauthorized && code != http.StatusServiceUnavailable {
		t.Errorf("for everybody: %d", code)
	}
}
