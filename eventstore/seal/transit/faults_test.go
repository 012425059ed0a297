package transit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/faulty/faultkeys"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/keystest"
	"coffre/eventstore/seal/ringtest"
	"coffre/eventstore/seal/transit"
	"coffre/eventstore/seal/transit/vaulttest"
)

// requests counts what is sent to Vault, by path, and remembers every token that
// passed, so that a test can look for them elsewhere.
type requests struct {
	mu      sync.Mutex
	byPath  map[string]int
	secrets []string
}

func counting(cfg *transit.Config) *requests {
	r := &requests{byPath: map[string]int{}}
	cfg.Transport = func(inner http.RoundTripper) http.RoundTripper {
		return tripper(func(q *http.Request) (*http.Response, error) {
			r.note(q)
			return inner.RoundTrip(q)
		})
	}
	return r
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(q *http.Request) (*http.Response, error) { return t(q) }

func (r *requests) note(q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byPath[strings.TrimPrefix(q.URL.Path, "/v1/")]++
	if token := q.Header.Get("X-Vault-Token"); token != "" {
		r.secrets = append(r.secrets, token)
	}
}

func (r *requests) to(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byPath[path]
}

// ofKeys counts the requests that use keys: not logins, nor what keeps a login.
func (r *requests) ofKeys() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, count := range r.byPath {
		if strings.HasPrefix(path, "coffre/") {
			n += count
		}
	}
	return n
}

func (r *requests) tokens() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.secrets)
}

const approleLogin = "auth/approle/login"

// impatient is a configuration whose calls give up soon.
func impatient(t *testing.T, s *vaulttest.Server) transit.Config {
	t.Helper()
	cfg := s.Config(t)
	cfg.OpenFor = 10 * time.Millisecond
	return cfg
}

// recovers asks again until it works, as clients do.
func recovers(t *testing.T, call func() error) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := call()
		if err == nil {
			return
		}
		if !errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Fatalf("on the way back: %v", err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("it does not come back: %v", err)
		case <-ticker.C:
		}
	}
}

// allAway fails the test unless everything that needs Vault says so.
func allAway(t *testing.T, k *transit.Keeper, item seal.UnwrapItem) {
	t.Helper()
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Wrap":     func() error { return wrapOne(t, k) },
		"Unwrap":   func() error { return unwrapOne(t, k, item) },
		"Rewrap":   func() error { _, err := k.Rewrap(ctx, items(item)); return err },
		"Versions": func() error { _, err := k.Versions(ctx); return err },
		"Rotate":   func() error { _, err := k.Rotate(ctx); return err },
		"Sign":     func() error { _, _, err := k.Sign(ctx, nil); return err },
		"certify":  func() error { _, _, err := k.Certificates().Sign(ctx, nil); return err },
	} {
		t.Run(name, func(t *testing.T) { away(t, call()) })
	}
}

// What happens to Vault, and back. While it lasts the keys are unavailable, and
// afterwards everything works without anybody's help.
func TestVaultComesAndGoes(t *testing.T) {
	for _, c := range []struct {
		name       string
		begin, end func(t *testing.T, s *vaulttest.Server)
	}{
		{"sealed", func(t *testing.T, s *vaulttest.Server) { s.Seal(t) }, func(t *testing.T, s *vaulttest.Server) { s.Unseal(t) }},
		{"killed, restarted", func(t *testing.T, s *vaulttest.Server) { s.Kill(t) }, func(t *testing.T, s *vaulttest.Server) { s.Boot(t); s.Unseal(t) }},
		{"slow", func(_ *testing.T, s *vaulttest.Server) { s.Proxy.Delay(time.Minute) }, func(_ *testing.T, s *vaulttest.Server) { s.Proxy.Heal() }},
		{"silent", func(_ *testing.T, s *vaulttest.Server) { s.Proxy.Blackhole() }, func(_ *testing.T, s *vaulttest.Server) { s.Proxy.Heal() }},
		{"cut off", func(_ *testing.T, s *vaulttest.Server) { s.Proxy.Refuse() }, func(_ *testing.T, s *vaulttest.Server) { s.Proxy.Heal() }},
		{"policies revoked", func(t *testing.T, s *vaulttest.Server) {
			for _, identity := range []string{vaulttest.Application, vaulttest.Rotator, vaulttest.Destroyer} {
				s.SetPolicy(t, identity, "")
			}
		}, func(t *testing.T, s *vaulttest.Server) {
			for _, identity := range []string{vaulttest.Application, vaulttest.Rotator, vaulttest.Destroyer} {
				s.SetPolicy(t, identity, s.Policy(t, identity))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := vaulttest.Shared(t)
			cfg := s.Config(t)
			cfg.OpenFor = 10 * time.Millisecond
			k := s.Keeper(t, cfg)
			item := wrapped(t, k)
			signs(t, k)
			signs(t, k.Certificates())
			transit.SetTimeout(k, 100*time.Millisecond)
			c.begin(t, s)
			allAway(t, k, item)
			transit.SetTimeout(k, cfg.Timeout)
			c.end(t, s)
			recovers(t, func() error { return wrapOne(t, k) })
			recovers(t, func() error { return unwrapOne(t, k, item) })
			recovers(t, func() error { _, err := k.Rewrap(t.Context(), items(item)); return err })
			recovers(t, func() error { _, _, err := k.Sign(t.Context(), nil); return err })
			recovers(t, func() error { _, _, err := k.Certificates().Sign(t.Context(), nil); return err })
			for _, state := range k.States() {
				if !state.Well() {
					t.Errorf("%+v after it came back", state)
				}
			}
		})
	}
}

// One reset connection is nobody's business: it may have been an old one. Only what
// must not happen twice is left to whoever asked.
func TestBrokenConnectionIsTriedAgain(t *testing.T) {
	s := vaulttest.Shared(t)
	k := s.Keeper(t, s.Config(t))
	item := wrapped(t, k)
	for range 5 {
		s.Proxy.Cut()
		lost := s.Proxy.LoseReply("")
		opens(t, k, item)
		<-lost
	}
	if _, err := k.Rotate(t.Context()); err != nil { // so that its connection is warm
		t.Fatal(err)
	}
	for version := 2; ; {
		lost := s.Proxy.LoseReply("")
		_, err := k.Rotate(t.Context())
		<-lost
		v, failed := k.Versions(t.Context())
		if failed != nil || v.Latest > version+1 {
			t.Fatalf("at version %d after %d: %v", v.Latest, version, failed)
		}
		if err != nil { // the reply to the rotation itself was lost
			away(t, err)
			return
		}
		version = v.Latest
	}
}

// After some failures Vault is not asked any more, and every caller is told at
// once.
func TestBreaker(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	cfg.OpenFor = time.Minute
	cfg.Rotator, cfg.Destroyer = nil, nil
	sent := counting(&cfg)
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	s.Seal(t)
	before := sent.ofKeys()
	for range 100 {
		away(t, unwrapOne(t, k, item))
	}
	if n := sent.ofKeys() - before; n != 5 {
		t.Errorf("100 calls to a sealed Vault sent %d requests, want 5", n)
	}
	if states := k.States(); len(states) != 1 || !states[0].Open || states[0].Well() {
		t.Errorf("%+v", states)
	}
	s.Unseal(t)
}

// Callers who leave, and items that are refused, say nothing about Vault.
func TestBreakerCountsVaultsFailuresOnly(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	cfg.OpenFor = time.Minute
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	s.Proxy.Blackhole()
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := k.Unwrap(ctx, items(item)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, eventstore.ErrKeysUnavailable) {
			t.Fatal(err)
		}
		cancel()
	}
	s.Proxy.Heal()
	bad := seal.UnwrapItem{Wrapped: bytes.Clone(item.Wrapped), AAD: []byte("other use")}
	for range 20 {
		if err := unwrapOne(t, k, bad); !errors.Is(err, seal.ErrRefused) {
			t.Fatal(err)
		}
		if err := k.Trim(t.Context(), 7); !errors.Is(err, seal.ErrVersion) {
			t.Fatal(err)
		}
	}
	opens(t, k, item)
}

// Tokens of two seconds: nobody notices that they end, whether calls are made or
// not.
func TestTokensEnd(t *testing.T) {
	s := vaulttest.Shared(t)
	s.TokenLife(t, "2s", "2s")
	cfg := s.Config(t)
	sent := counting(&cfg)
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	for sent.to(approleLogin) < 2*len(k.States()) {
		opens(t, k, item)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for seen := sent.to(approleLogin); sent.to(approleLogin) < seen+len(k.States()); {
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatal("an idle keeper does not log in again")
		}
	}
	opens(t, k, item)
}

// Who leaves while the breaker tries whether Vault is back has not seen that it is.
func TestLeavingCallerClosesNoBreaker(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	cfg.OpenFor = time.Second
	cfg.Rotator, cfg.Destroyer = nil, nil
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	s.Proxy.Blackhole()
	transit.SetTimeout(k, 50*time.Millisecond)
	for !k.States()[0].Open {
		away(t, unwrapOne(t, k, item))
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := k.Unwrap(ctx, items(item))
		<-ctx.Done()
		cancel()
		if !errors.Is(err, eventstore.ErrKeysUnavailable) {
			break // it was let through, and left
		}
	}
	away(t, unwrapOne(t, k, item))
	if !k.States()[0].Open {
		t.Error("one call that left closed the breaker")
	}
	s.Proxy.Heal()
}

// A token that somebody revoked is replaced.
func TestTokensRevoked(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := impatient(t, s)
	sent := counting(&cfg)
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	s.Write(t, "sys/leases/revoke-prefix/auth/approle/", map[string]any{"sync": true})
	recovers(t, func() error { return unwrapOne(t, k, item) })
	recovers(t, func() error { _, err := k.Rotate(t.Context()); return err })
	if n := sent.to(approleLogin); n != 5 { // three at the start
		t.Errorf("%d logins, want 5", n)
	}
}

// A new secret id in the file is taken at the next login.
func TestSecretIDReplaced(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := impatient(t, s)
	cfg.Rotator, cfg.Destroyer = nil, nil
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	fresh := s.Login(t, vaulttest.Application)
	id, err := os.ReadFile(fresh.SecretIDFile)
	if err != nil {
		t.Fatal(err)
	}
	file := cfg.Application.(transit.AppRole).SecretIDFile
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "auth/approle/role/coffre-application/secret-id/destroy", map[string]any{"secret_id": strings.TrimSpace(string(old))})
	s.Write(t, "sys/leases/revoke-prefix/auth/approle/", map[string]any{"sync": true})
	away(t, unwrapOne(t, k, item))
	if err := os.WriteFile(file, id, 0o600); err != nil {
		t.Fatal(err)
	}
	recovers(t, func() error { return unwrapOne(t, k, item) })
}

// A service account's token is read at each login, because Kubernetes replaces it.
// The server here is the real one behind a door that lets Kubernetes tokens in: its
// own Kubernetes method is not in the build, and would need a cluster.
func TestKubernetesLogin(t *testing.T) {
	s := vaulttest.Shared(t)
	approle := s.Login(t, vaulttest.Application)
	secretID, err := os.ReadFile(approle.SecretIDFile)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(s.Admin().Address())
	if err != nil {
		t.Fatal(err)
	}
	door := httputil.NewSingleHostReverseProxy(to)
	door.Transport = s.Admin().CloneConfig().HttpClient.Transport
	var mu sync.Mutex
	var jwts, namespaces []string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		namespaces = append(namespaces, r.Header.Get("X-Vault-Namespace"))
		mu.Unlock()
		r.Header.Del("X-Vault-Namespace")
		if r.URL.Path == "/v1/auth/cluster/login" {
			var proof struct{ Role, JWT string }
			if err := json.NewDecoder(r.Body).Decode(&proof); err != nil || proof.Role != "coffre" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			mu.Lock()
			jwts = append(jwts, proof.JWT)
			mu.Unlock()
			body, _ := json.Marshal(map[string]string{"role_id": approle.RoleID, "secret_id": strings.TrimSpace(string(secretID))})
			r.URL.Path, r.Body, r.ContentLength = "/v1/auth/approle/login", io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		door.ServeHTTP(w, r)
	}))
	defer front.Close()
	file := filepath.Join(t.TempDir(), "token")
	write := func(jwt string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(jwt), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	k := s.Keeper(t, transit.Config{
		Address: front.URL, Namespace: "state/citizens", OpenFor: 10 * time.Millisecond, Timeout: 20 * time.Second,
		Application: transit.Kubernetes{Mount: "cluster", Role: "coffre", TokenFile: file},
	})
	item := wrapped(t, k)
	write("second")
	s.Write(t, "sys/leases/revoke-prefix/auth/approle/", map[string]any{"sync": true})
	recovers(t, func() error { return unwrapOne(t, k, item) })
	mu.Lock()
	defer mu.Unlock()
	if strings.Join(jwts, " ") != "first second" {
		t.Errorf("logged in with %q", jwts)
	}
	for _, namespace := range namespaces {
		if namespace != "state/citizens" {
			t.Fatalf("asked in namespace %q", namespace)
		}
	}
}

// What Vault's own tools read from the environment is none of ours.
func TestEnvironmentIsIgnored(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	t.Setenv("VAULT_ADDR", "https://127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", "s.of-somebody-else")
	t.Setenv("VAULT_NAMESPACE", "elsewhere")
	t.Setenv("VAULT_MAX_RETRIES", "9")
	cfg.Transport = func(inner http.RoundTripper) http.RoundTripper {
		return tripper(func(q *http.Request) (*http.Response, error) {
			if q.Header.Get("X-Vault-Namespace") != "" || strings.Contains(q.Header.Get("X-Vault-Token"), "somebody-else") {
				t.Errorf("%s is asked in another's name", q.URL.Path)
			}
			return inner.RoundTrip(q)
		})
	}
	k := s.Keeper(t, cfg)
	opens(t, k, wrapped(t, k))
}

func TestTLS(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	cfg.Rotator, cfg.Destroyer = nil, nil
	refuses := func(cfg transit.Config, says string) {
		t.Helper()
		if k, err := transit.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
			if err == nil {
				k.Close()
			}
			t.Errorf("%v, want %q", err, says)
		}
	}
	strange := cfg
	strange.CAFile = ""
	refuses(strange, "certificate is not trusted")
	other := cfg
	other.ServerName = "other.test"
	refuses(other, "certificate is not trusted")
	named := cfg
	named.ServerName = vaulttest.ServerName
	s.Keeper(t, named)
	plain := cfg
	plain.Address = strings.Replace(cfg.Address, "https:", "http:", 1)
	refuses(plain, "log in")
}

// A sealed or absent Vault fails the start, and so do credentials that are wrong.
func TestStartNeedsVault(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	fails := func(cfg transit.Config, says string) {
		t.Helper()
		if k, err := transit.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
			if err == nil {
				k.Close()
			}
			t.Errorf("%v, want %q", err, says)
		}
	}
	s.Seal(t)
	fails(cfg, "sealed")
	s.Unseal(t)
	s.Proxy.Refuse()
	fails(cfg, "log in")
	s.Proxy.Heal()
	wrong := cfg
	wrong.Destroyer = transit.AppRole{RoleID: "no such role", SecretIDFile: cfg.Destroyer.(transit.AppRole).SecretIDFile}
	fails(wrong, "vault, destroyer: log in")
	wrong.Destroyer = transit.AppRole{RoleID: "r", SecretIDFile: filepath.Join(t.TempDir(), "none")}
	fails(wrong, "no such file")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong.Destroyer = transit.AppRole{RoleID: "r", SecretIDFile: empty}
	fails(wrong, "it is empty")
	unmounted := cfg
	unmounted.Mount = "elsewhere"
	fails(unmounted, "elsewhere/encrypt/kek")
}

// A Vault that is sealed, starting, or on its way to lead its cluster fails the start with an error
// that says to ask again later, at whatever moment it is asked; once it leads it is opened.
func TestStartWaitsWhileVaultComesBack(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	for name, comeBack := range map[string]func(){
		"unsealed": func() { s.Unseal(t) },
		"booted":   func() { s.Kill(t); s.Boot(t); s.Unseal(t) },
	} {
		s.Seal(t)
		var opening sync.WaitGroup
		asked := make(chan struct{}, 1)
		for range 4 {
			opening.Go(func() {
				for {
					k, err := transit.Open(t.Context(), cfg)
					if err == nil {
						if err := k.Close(); err != nil {
							t.Error(err)
						}
						return
					}
					if !errors.Is(err, transit.ErrAway) {
						t.Errorf("%s: %v, which does not say that Vault is away", name, err)
						return
					}
					select {
					case asked <- struct{}{}:
					default:
					}
				}
			})
		}
		<-asked
		comeBack()
		opening.Wait()
	}
}

// Answers of a Vault, or of what stands before it, that pass by themselves are told from those that
// do not.
func TestAnswersThatPass(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	for status, passes := range map[int]bool{
		http.StatusTemporaryRedirect:   true, // a standby that passes nothing on
		http.StatusTooManyRequests:     true,
		http.StatusInternalServerError: true, // no node leads
		http.StatusBadGateway:          true,
		http.StatusServiceUnavailable:  true,
		http.StatusGatewayTimeout:      true,
		http.StatusBadRequest:          false, // such as a secret id that ended
		http.StatusForbidden:           false,
		http.StatusNotFound:            false,
	} {
		cfg.Transport = func(http.RoundTripper) http.RoundTripper {
			return tripper(func(q *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: q, ProtoMajor: 1, ProtoMinor: 1}, nil
			})
		}
		k, err := transit.Open(t.Context(), cfg)
		if err == nil {
			k.Close()
		}
		if errors.Is(err, transit.ErrAway) != passes {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A Vault set back to yesterday has not the version that today's keys are wrapped
// by: they are refused one by one, and nothing is wrapped by another key instead.
// What was trimmed since is back, which is why rows are destroyed too.
func TestRestoredSnapshot(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := impatient(t, s)
	k := s.Keeper(t, cfg)
	first := wrapped(t, k)
	snapshot := s.Snapshot(t)
	if _, err := k.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := wrapped(t, k)
	if err := k.SetMinDecryption(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := k.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := unwrapOne(t, k, first); !errors.Is(err, seal.ErrRetired) {
		t.Fatal(err)
	}
	s.Restore(t, snapshot)
	recovers(t, func() error { return wrapOne(t, k) })
	opens(t, k, first)
	if err := unwrapOne(t, k, second); !errors.Is(err, seal.ErrRefused) {
		t.Fatal(err)
	}
	if v, err := k.Versions(t.Context()); err != nil || v != (seal.Versions{Latest: 1, MinDecryption: 1, MinAvailable: 1}) {
		t.Fatal(v, err)
	}
	both, err := k.Unwrap(t.Context(), items(second, first))
	if err != nil || both[0].Err == nil || !bytes.Equal(both[1].Plain, plainKey) {
		t.Fatal("a key of a lost version spoils the others", err)
	}
}

// Whatever goes wrong, no error and no line of the log holds a secret.
func TestNothingSecretIsTold(t *testing.T) {
	s := vaulttest.Shared(t)
	cfg := impatient(t, s)
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sent := counting(&cfg)
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	var told []string
	tell := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("nothing went wrong")
			return
		}
		told = append(told, err.Error())
	}
	s.SetPolicy(t, vaulttest.Application, "")
	tell(unwrapOne(t, k, item))
	s.SetPolicy(t, vaulttest.Application, s.Policy(t, vaulttest.Application))
	s.Seal(t)
	tell(unwrapOne(t, k, item))
	tell(wrapOne(t, k))
	s.Unseal(t)
	recovers(t, func() error { return wrapOne(t, k) })
	s.Proxy.Refuse()
	tell(wrapOne(t, k))
	s.Proxy.Heal()
	recovers(t, func() error { return wrapOne(t, k) })
	tell(unwrapOne(t, k, seal.UnwrapItem{Wrapped: item.Wrapped, AAD: []byte("other")}))
	s.Write(t, "coffre/keys/kek/config", map[string]any{"deletion_allowed": true})
	if _, err := s.Admin().Logical().DeleteWithContext(t.Context(), "coffre/keys/kek"); err != nil {
		t.Fatal(err)
	}
	tell(unwrapOne(t, k, item))
	tell(wrapOne(t, k))
	wrong := cfg
	wrong.Application = transit.AppRole{RoleID: "no such role", SecretIDFile: cfg.Application.(transit.AppRole).SecretIDFile}
	_, err := transit.Open(t.Context(), wrong)
	tell(err)
	k.Close()
	tell(wrapOne(t, k))

	secretID, err := os.ReadFile(cfg.Application.(transit.AppRole).SecretIDFile)
	if err != nil {
		t.Fatal(err)
	}
	secrets := append(sent.tokens(), strings.TrimSpace(string(secretID)), base64.StdEncoding.EncodeToString(plainKey),
		base64.StdEncoding.EncodeToString(item.Wrapped[5:]), string(plainKey), s.Admin().Token())
	everything := strings.Join(told, "\n") + log.String()
	for _, secret := range secrets {
		if len(secret) < 8 || strings.Contains(everything, secret) {
			t.Errorf("a secret of %d bytes is told", len(secret))
		}
	}
	if !strings.Contains(log.String(), "logged in to Vault") {
		t.Error("the log is empty: this test sees nothing")
	}
}

// Vault's own audit log and files hold no key that passed, no token, and not what
// unseals it.
func TestNothingSecretIsAudited(t *testing.T) {
	s := vaulttest.Start(t)
	audit := s.Audit(t)
	cfg := s.Config(t)
	sent := counting(&cfg)
	k := s.Keeper(t, cfg)
	item := wrapped(t, k)
	opens(t, k, item)
	secretID, err := os.ReadFile(cfg.Application.(transit.AppRole).SecretIDFile)
	if err != nil {
		t.Fatal(err)
	}
	trail, err := os.ReadFile(audit)
	if err != nil || !bytes.Contains(trail, []byte("coffre/decrypt/kek")) {
		t.Fatal("the audit log tells of no decryption: this test sees nothing", err)
	}
	secrets := append(sent.tokens(), strings.TrimSpace(string(secretID)), base64.StdEncoding.EncodeToString(plainKey), string(plainKey), s.Admin().Token(), s.UnsealKey())
	err = filepath.WalkDir(s.Dir(), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range secrets {
			if len(secret) < 8 || bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds a secret of %d bytes", d.Name(), len(secret))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func TestContractBehindFaults(t *testing.T) {
	configs := map[string]transit.Config{} // by test
	keystest.Run(t, func(t *testing.T) keystest.Keys {
		s := vaulttest.Shared(t)
		configs[t.Name()] = s.Config(t)
		return faultkeys.New(s.Keeper(t, configs[t.Name()]), nil)
	}, func(t *testing.T) keystest.Keys {
		k, err := transit.Open(t.Context(), configs[t.Name()])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return faultkeys.New(k, nil)
	})
}

// The contract of the ring, with its keys in the real Vault: other processes and
// their leases, prefetching, warm paths, rewrapping, races.
func TestRingContract(t *testing.T) {
	ringtest.RunKeeper(t, func(t *testing.T) func() *keysdb.DB {
		db := ringtest.OpenDB(t, t.TempDir())
		return func() *keysdb.DB { return db }
	}, func(t *testing.T) *ringtest.Keeper {
		s := vaulttest.Shared(t)
		return ringtest.NewKeeper(s.Keeper(t, s.Config(t)))
	})
}

// Counted on the wire: many citizens cost a call per thousand, and once their keys
// are in memory Vault is not asked at all.
func TestRingOnTheWire(t *testing.T) {
	const n = 3 * seal.MaxBatch
	s := vaulttest.Shared(t)
	cfg := s.Config(t)
	sent := counting(&cfg)
	dir := t.TempDir()
	db := ringtest.OpenDB(t, dir)
	r := ringtest.OpenRing(t, db, s.Keeper(t, cfg), seal.Config{})
	citizens := enrolMany(t, r, n)
	again := ringtest.OpenRing(t, db, s.Keeper(t, cfg), seal.Config{}) // nothing in memory
	before := sent.ofKeys()
	if err := again.Prefetch(t.Context(), citizens); err != nil {
		t.Fatal(err)
	}
	if calls := sent.ofKeys() - before; calls < 3 || calls > 4 {
		t.Errorf("%d citizens cost %d calls to Vault", n, calls)
	}
	before = sent.ofKeys()
	s.Proxy.Refuse()
	for _, c := range citizens[:100] {
		if _, err := again.ContentTag(t.Context(), c, []byte("content")); err != nil {
			t.Fatal(err)
		}
	}
	if calls := sent.ofKeys() - before; calls != 0 {
		t.Errorf("%d calls to Vault for keys that are in memory", calls)
	}
}
