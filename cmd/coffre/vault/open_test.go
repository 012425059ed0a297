package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/acting"
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
	v, err := Open(t.Context(), dir, Options{OIDC: NewOIDC(provider.URL)})
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
	if code := ask(sentBy(1000, v.Control())); code != http.StatusOK {
		t.Errorf("on the control socket: %d", code)
	}
	if code := ask(v.Handler()); code != http.StatusUnauthorized && code != http.StatusServiceUnavailable {
		t.Errorf("for everybody: %d", code)
	}
}

// sentBy returns a handler of requests that a process of the account sends.
func sentBy(uid uint32, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(edge.WithAccount(r.Context(), edge.Account{UID: uid})))
	})
}

// The kernel says whose process is at the other end of the control socket.
func TestControlServerKnowsTheAccount(t *testing.T) {
	dir := DataDir(t.TempDir())
	l, err := dir.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	door := edge.ControlSocket{Own: operators{}, Provided: true}
	server := NewControlServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := door.Authenticate(r.Context(), token.Presented{})
		if _, failed := io.WriteString(w, fmt.Sprintf("%s %v", caller.Subject, err)); failed != nil {
			t.Error(failed)
		}
	}))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	}()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dir.Dial(ctx) }}}
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://vault/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("os-account:%d <nil>", os.Getuid()); err != nil || string(said) != want {
		t.Errorf("the caller is %q (%v), want %q", said, err, want)
	}
}

// operators takes everybody for an operator.
type operators struct{}

func (operators) Authenticate(context.Context, token.Presented) (edge.Caller, error) {
	return edge.Caller{Role: domain.RoleOperator, Subject: "me", Why: "maintenance"}, nil
}

// What vouches for callers is in the log: a vault that ever had a provider is opened
// without one, on a copy of its data directory too, as one that nobody may try out.
func TestProviderIsRemembered(t *testing.T) {
	dir := DataDir(t.TempDir())
	open := func(o Options) (*Instance, error) { return Open(t.Context(), dir, o) }
	closed := func(v *Instance, err error) error {
		if err == nil {
			err = v.Close()
		}
		return err
	}
	if err := closed(open(Options{Dev: true})); err != nil {
		t.Fatal(err)
	}
	issuer := Options{OIDC: NewOIDC("https://login.example")}
	for range 2 {
		if err := closed(open(issuer)); err != nil {
			t.Fatal(err)
		}
	}
	if err := closed(open(Options{Dev: true})); !errors.Is(err, ErrProvided) {
		t.Errorf("for trying out: %v", err)
	}
	if err := os.Remove(dir.File(DevKeyFile)); err != nil { // what the directory holds does not matter
		t.Fatal(err)
	}
	v, err := open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	named := 0
	for e, err := range v.Core.Log.Read(t.Context(), acting.ProviderStream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if is, ok := e.Data.(audit.ProviderNamed); ok && is.Issuer == issuer.OIDC.Profile.Issuer {
			named++
		}
	}
	if named != 1 {
		t.Errorf("the provider is on record %d times", named)
	}
	key, err := token.OpenDevKey(dir.File(DevKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := key.Mint(token.Grant{Role: domain.RoleOperator, Scopes: edge.Scopes(domain.RoleOperator)}, time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, contract.Base+"/projections", nil)
	r.Header.Set("Authorization", "Bearer "+bearer)
	for name, h := range map[string]http.Handler{"the public address": v.Handler(), "a connection of nobody": v.Control()} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}
