package token

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// provider is an OpenID provider that can be away, and counts what it is asked.
type provider struct {
	*httptest.Server
	away    atomic.Bool
	keys    atomic.Value // string
	fetches atomic.Int32
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.keys.Store(jwks("ed"))
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":"%s/a","token_endpoint":"%s/t","id_token_signing_alg_values_supported":["EdDSA"]}`, p.URL, p.URL+"/keys", p.URL, p.URL)
		case "/keys":
			p.fetches.Add(1)
			fmt.Fprint(w, p.keys.Load())
		default:
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func jwks(ids ...string) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"use":"sig","alg":"EdDSA","x":%q}`, id, b64(keys().ed.Public().(ed25519.PublicKey))))
	}
	return `{"keys":[` + strings.Join(append(all, `{"kty":"oct","kid":"secret","k":"AAAA"}`, `{"kty":"future","kid":"f"}`), ",") + `]}`
}

func TestDiscovery(t *testing.T) {
	p, clock := newProvider(t), atomic.Int64{}
	clock.Store(now.Unix())
	tick := func(d time.Duration) { clock.Add(int64(d / time.Second)) }
	d, err := NewProviderKeys(p.URL, nil, func() time.Time { return time.Unix(clock.Load(), 0) })
	if err != nil {
		t.Fatal(err)
	}
	ask := func(id string, want error) {
		t.Helper()
		k, err := d.Key(t.Context(), id)
		if !errors.Is(err, want) || want == nil && (err != nil || k.KeyID != id) {
			t.Errorf("key %s: %q, %v, want %v", id, k.KeyID, err, want)
		}
	}
	var wg sync.WaitGroup
	for range 32 { // one fetch for all who come at once
		wg.Go(func() { ask("ed", nil) })
	}
	wg.Wait()
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	for range 100 { // unknown ids don't make us a flood
		ask("unknown", ErrInvalid)
	}
	ask("secret", ErrInvalid)
	ask("f", ErrInvalid)
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches after unknown ids", n)
	}
	p.keys.Store(jwks("ed", "new"))
	ask("new", ErrInvalid)
	tick(minFetchInterval)
	ask("new", nil)
	if n := p.fetches.Load(); n != 2 {
		t.Errorf("%d fetches after a rotation", n)
	}
	p.keys.Store(jwks("new"))
	tick(keysFreshFor)
	ask("ed", ErrInvalid) // withdrawn
	p.away.Store(true)
	tick(keysUsableFor - time.Second)
	ask("new", nil) // the provider is away, for less than a day
	tick(2 * time.Second)
	ask("new", errProviderUnavailable)
	tick(minFetchInterval)
	ask("new", errProviderUnavailable)
	p.away.Store(false)
	tick(minFetchInterval)
	ask("new", nil)
	tick(minFetchInterval + keysFreshFor)
	p.keys.Store(`{"keys":[]}` + strings.Repeat(" ", 2<<20))
	ask("new", nil) // a broken answer changes nothing
}

func TestDiscoveryNeedsASafeURL(t *testing.T) {
	for _, u := range []string{"", "idp", "http://idp.example.org", "ftp://127.0.0.1/", "https://user:pass@idp.example.org", "file:///etc/passwd", "http://127.0.0.1.evil.example", "https://"} {
		if _, err := NewProviderKeys(u, nil, time.Now); err == nil {
			t.Errorf("%q accepted", u)
		}
	}
	for _, u := range []string{"https://idp.example.org/realms/x", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"} {
		if _, err := NewProviderKeys(u, nil, time.Now); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A caller who gives up does not spoil the fetch for others.
func TestDiscoveryOutlivesItsCaller(t *testing.T) {
	p := newProvider(t)
	d, err := NewProviderKeys(p.URL, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Key(ctx, "ed"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := d.Key(t.Context(), "ed"); err != nil {
		t.Errorf("the next caller: %v", err)
	}
}
