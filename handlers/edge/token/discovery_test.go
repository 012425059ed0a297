package token

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// provider is an OpenID provider that can be away, and counts what it is asked.
type provider struct {
	*httptest.Server
	issuer  atomic.Value // string; what it calls itself
	away    atomic.Bool
	missing atomic.Bool  // the discovery document
	keys    atomic.Value // string
	fetches atomic.Int32
	held    atomic.Value // chan struct{}; each answer for keys is told there, and waits for it
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.keys.Store(jwks("ed"))
	p.issuer.Store("")
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case wellKnown:
			if p.missing.Load() {
				http.NotFound(w, r)
				return
			}
			issuer := cmp.Or(p.issuer.Load().(string), p.URL)
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":"%s/a","token_endpoint":"%s/t","id_token_signing_alg_values_supported":["EdDSA"]}`, issuer, p.URL+"/keys", p.URL, p.URL)
		case "/keys":
			p.fetches.Add(1)
			answer := p.keys.Load()
			if held, ok := p.held.Load().(chan struct{}); ok {
				held <- struct{}{} // the answer is made
				<-held
			}
			fmt.Fprint(w, answer)
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

// clock is the time of a test, which passes when the test says so.
type clock struct {
	seconds atomic.Int64
	// asked gets every wait; nil: whoever waits moves the clock on and goes on at once.
	asked chan waiting
}

type waiting struct {
	d   time.Duration
	end chan struct{}
}

func newClock() *clock {
	c := &clock{}
	c.seconds.Store(now.Unix())
	return c
}

func (c *clock) now() time.Time           { return time.Unix(c.seconds.Load(), 0) }
func (c *clock) advance(by time.Duration) { c.seconds.Add(int64(by / time.Second)) }

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	if c.asked == nil {
		c.advance(d)
		return ctx.Err()
	}
	w := waiting{d, make(chan struct{})}
	select {
	case c.asked <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-w.end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keysOf returns the keys of a provider by a clock, and the log of their outages.
func keysOf(t *testing.T, issuer string, c *clock) (*ProviderKeys, *record) {
	t.Helper()
	told := &record{}
	d, err := NewProviderKeys(issuer, ProviderOptions{Now: c.now, Wait: c.wait, Logger: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return d, told
}

// record is a log that is written and read at once.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(b)
}

// lines returns the lines since the last call.
func (r *record) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.TrimSpace(r.b.String())
	r.b.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func ask(t *testing.T, d *ProviderKeys, id string, want error) {
	t.Helper()
	k, err := d.Key(t.Context(), id)
	if !errors.Is(err, want) || want == nil && (err != nil || k.KeyID != id) {
		t.Errorf("key %s: %v, %v, want %v", id, k, err, want)
	}
}

// unavailable asks for a key that cannot be known now, and returns when to ask again.
func unavailable(t *testing.T, d *ProviderKeys, id string) *UnavailableError {
	t.Helper()
	_, err := d.Key(t.Context(), id)
	var away *UnavailableError
	if !errors.As(err, &away) || errors.Is(err, ErrInvalid) {
		t.Fatalf("key %s: %v", id, err)
	}
	return away
}

// All who come at once wait for one fetch, and unknown ids ask the provider at most once in
// five seconds.
func TestFetchesAreShared(t *testing.T) {
	p, c := newProvider(t), newClock()
	d, _ := keysOf(t, p.URL, c)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() { ask(t, d, "ed", nil) })
	}
	if wg.Wait(); p.fetches.Load() != 1 {
		t.Errorf("%d fetches", p.fetches.Load())
	}
	begin := c.now()
	for range 20 {
		ask(t, d, "unknown", ErrInvalid)
	}
	ask(t, d, "secret", ErrInvalid)
	ask(t, d, "f", ErrInvalid)
	if n, took := p.fetches.Load()-1, c.now().Sub(begin); n > int32(took/fetchPause)+1 {
		t.Errorf("%d fetches in %s", n, took)
	}
}

// F40: a token whose key is newer than the last answer waits until the provider was asked once
// more; all who wait share that fetch, and only so many wait.
func TestF40UnknownKeyWaitsForOneFetch(t *testing.T) {
	p, c := newProvider(t), newClock()
	d, _ := keysOf(t, p.URL, c)
	ask(t, d, "ed", nil)
	c.asked = make(chan waiting)
	p.keys.Store(jwks("ed", "new")) // seconds after the fetch
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { ask(t, d, "new", nil) })
	}
	w := <-c.asked
	if w.d != fetchPause || p.fetches.Load() != 1 {
		t.Errorf("it waits for %s, after %d fetches", w.d, p.fetches.Load())
	}
	ask(t, d, "ed", nil) // who is known does not wait
	c.advance(w.d)
	close(w.end)
	if all.Wait(); p.fetches.Load() != 2 {
		t.Errorf("%d fetches", p.fetches.Load())
	}
	c.advance(fetchPause)
	ask(t, d, "other", ErrInvalid)
	d.waiting = maxWaiting
	if away := unavailable(t, d, "another"); away.After != fetchPause {
		t.Errorf("more than may wait: %+v", away)
	}
}

// F40: a fetch under way when a token comes may have been answered before the token's key was
// published, so it is not the one that is waited for.
func TestF40FetchUnderWayIsNoAnswer(t *testing.T) {
	p, c := newProvider(t), newClock()
	d, _ := keysOf(t, p.URL, c)
	ask(t, d, "ed", nil)
	held := make(chan struct{})
	p.held.Store(held)
	var all sync.WaitGroup
	all.Go(func() { ask(t, d, "unknown", ErrInvalid) })
	<-held
	p.keys.Store(jwks("ed", "new"))
	all.Go(func() { ask(t, d, "new", nil) })
	for waiting := 0; waiting < 2; runtime.Gosched() {
		d.mu.Lock()
		waiting = d.waiting
		d.mu.Unlock()
	}
	held <- struct{}{}
	<-held
	held <- struct{}{}
	all.Wait()
}

// F34: who comes when a refresh is overdue, as after the machine slept, waits for it.
func TestF34OverdueRefreshIsWaitedFor(t *testing.T) {
	p, c := newProvider(t), newClock()
	d, _ := keysOf(t, p.URL, c)
	ask(t, d, "ed", nil)
	p.keys.Store(jwks("new"))
	c.advance(DefaultRefresh + overdue)
	ask(t, d, "ed", ErrInvalid)
	ask(t, d, "new", nil)
}

// F34: keys are fetched anew every few minutes, whoever comes, and a key that is gone is gone
// with everything that it signed.
func TestF34WithdrawnKeysAreForgotten(t *testing.T) {
	p, c := newProvider(t), newClock()
	c.asked = make(chan waiting)
	d, told := keysOf(t, p.URL, c)
	p.keys.Store(jwks("ed", "old")) // before anybody fetches
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	refresh := func() {
		t.Helper()
		w := <-c.asked
		if w.d != DefaultRefresh {
			t.Errorf("the next refresh is in %s", w.d)
		}
		c.advance(w.d)
		close(w.end)
	}
	v := New(NewProfile(issuer, Audience), d, nil, c.now)
	tok := func(kid string) Presented {
		return Bearer(raw(`{"alg":"EdDSA","kid":"`+kid+`","typ":"at+jwt"}`, payload(nil), withEd))
	}
	for _, kid := range []string{"ed", "old"} {
		if _, err := v.Authenticate(t.Context(), tok(kid)); err != nil {
			t.Fatal(err)
		}
	}
	p.keys.Store(jwks("ed"))
	refresh()
	w := <-c.asked // the refresh has ended, and the next one is waited for
	if k, err := d.Key(t.Context(), "ed"); err != nil || k == nil {
		t.Error(err)
	}
	go func() { // who comes with the key that is gone has the provider asked once more
		again := <-c.asked
		c.advance(again.d)
		close(again.end)
	}()
	if _, err := v.Authenticate(t.Context(), tok("old")); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token that was verified before its key was withdrawn: %v", err)
	}
	if _, err := v.Authenticate(t.Context(), tok("ed")); err != nil {
		t.Error(err)
	}
	if lines := told.lines(); len(lines) != 2 || !strings.Contains(lines[1], "withdrew keys") {
		t.Errorf("%q", lines)
	}
	p.keys.Store(`{"keys":[]}`) // all of them
	c.advance(w.d)
	close(w.end)
	<-c.asked
	go func() {
		again := <-c.asked
		c.advance(again.d)
		close(again.end)
	}()
	if _, err := v.Authenticate(t.Context(), tok("ed")); !errors.Is(err, ErrInvalid) {
		t.Errorf("a provider that withdrew all keys: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// F34, F40: while the provider is away its keys count for a day from when they were fetched,
// callers are told the true wait, and the operator once, that it went and that it is back.
func TestF40OutageOfTheProvider(t *testing.T) {
	p, c := newProvider(t), newClock()
	d, told := keysOf(t, p.URL, c)
	ask(t, d, "ed", nil)
	told.lines()
	begin := c.now()
	p.away.Store(true)
	c.advance(DefaultRefresh + overdue)
	for range 50 {
		ask(t, d, "ed", nil)
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if away := unavailable(t, d, "unknown"); away.After != retryPause+time.Second {
		t.Errorf("an unknown key during the outage: %+v", away) // which may be the provider's newest
	}
	c.advance(10 * time.Second)
	if away := unavailable(t, d, "unknown"); away.After != retryPause-9*time.Second {
		t.Errorf("ten seconds later: %+v", away)
	}
	lines := told.lines()
	if len(lines) != 1 || !strings.Contains(lines[0], "HTTP status 502") || !strings.Contains(lines[0], "keysCountUntil") {
		t.Errorf("the operator was told %q", lines)
	}
	c.seconds.Store(begin.Add(DefaultOutage - time.Second).Unix())
	ask(t, d, "ed", nil)
	c.advance(2 * time.Second)
	for range 3 {
		unavailable(t, d, "ed")
		c.advance(retryPause + overdue)
	}
	if _, usable := d.Usable(); usable || len(told.lines()) != 0 {
		t.Error("keys of the day before count, or the operator is told again")
	}
	p.away.Store(false)
	ask(t, d, "ed", nil)
	if lines := told.lines(); len(lines) != 1 || !strings.Contains(lines[0], "tells its keys again") {
		t.Errorf("%q", lines)
	}
	p.keys.Store(`{"keys":[]}` + strings.Repeat(" ", 2<<20))
	c.advance(DefaultRefresh + overdue)
	ask(t, d, "ed", nil) // an answer that cannot be read withdraws nothing
}

// F40: what is wrong with a provider is said: who it says it is, its status, what is missing.
func TestF40WhatIsWrongWithTheProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(p *provider)
		at    string // after the provider's address
		says  []string
	}{
		"a slash too many there": {func(p *provider) { p.issuer.Store(p.URL + "/") }, "", []string{"configured issuer is", `/\"`, "letter by letter"}},
		"a slash too many here":  {func(*provider) {}, "/", []string{"configured issuer is", "letter by letter"}},
		"no discovery document":  {func(p *provider) { p.missing.Store(true) }, "", []string{"HTTP status 404", wellKnown, "is the issuer right"}},
		"a redirect":             {func(*provider) {}, "/realm", []string{"HTTP status 302", "not followed"}},
		"no keys":                {func(p *provider) { p.keys.Store(`{}`) }, "", []string{"key set"}},
		"a page for people":      {func(p *provider) { p.keys.Store(`<html>`) }, "", []string{"JSON"}},
		"nobody":                 {func(p *provider) { p.Close() }, "", []string{"refused"}},
	} {
		p, c := newProvider(t), newClock()
		tc.spoil(p)
		d, told := keysOf(t, p.URL+tc.at, c)
		for range 3 {
			unavailable(t, d, "ed")
		}
		lines := told.lines()
		if len(lines) != 1 {
			t.Fatalf("%s: the operator was told %q", name, lines)
		}
		for _, text := range append(tc.says, "does not tell its keys", p.URL+tc.at) {
			if !strings.Contains(lines[0], text) {
				t.Errorf("%s: the operator was told %q, not %q", name, lines[0], text)
			}
		}
	}
}

// F36: a key counts for what its provider says it is for, by use and by key_ops.
func TestF36KeysThatAreForSomethingElse(t *testing.T) {
	p, c := newProvider(t), newClock()
	d, _ := keysOf(t, p.URL, c)
	jwk := func(kid, more string) string {
		return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q%s}`, kid, b64(keys().ed.Public().(ed25519.PublicKey)), more)
	}
	p.keys.Store(`{"keys":[` + strings.Join([]string{
		jwk("verify", `,"key_ops":["verify"]`), jwk("both", `,"key_ops":["sign","verify"]`), jwk("encrypt", `,"key_ops":["encrypt"]`),
		jwk("none", `,"key_ops":[]`), jwk("text", `,"key_ops":"verify"`), jwk("enc", `,"use":"enc"`),
	}, ",") + `]}`)
	v := New(NewProfile(issuer, Audience), d, nil, c.now)
	for kid, good := range map[string]bool{"verify": true, "both": true, "encrypt": false, "none": false, "text": false, "enc": false} {
		_, err := v.Authenticate(t.Context(), Bearer(raw(`{"alg":"EdDSA","kid":"`+kid+`","typ":"at+jwt"}`, payload(nil), withEd)))
		if (err == nil) != good || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", kid, err)
		}
	}
}

// F13: an issuer that ends in a slash is the provider's own name, and its document lies below
// it all the same.
func TestF13IssuerWithASlash(t *testing.T) {
	p, c := newProvider(t), newClock()
	p.issuer.Store(p.URL + "/")
	d, _ := keysOf(t, p.URL+"/", c)
	ask(t, d, "ed", nil)
}

func TestDiscoveryNeedsASafeURL(t *testing.T) {
	for _, u := range []string{"", "idp", "http://idp.example.org", "ftp://127.0.0.1/", "https://user:pass@idp.example.org", "file:///etc/passwd", "http://127.0.0.1.evil.example", "https://", "https://idp.example.org?x=1"} {
		if _, err := NewProviderKeys(u, ProviderOptions{}); err == nil {
			t.Errorf("%q accepted", u)
		}
	}
	for _, u := range []string{"https://idp.example.org/realms/x", "https://idp.example.org/", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"} {
		if _, err := NewProviderKeys(u, ProviderOptions{}); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A caller who gives up does not spoil the fetch for others.
func TestDiscoveryOutlivesItsCaller(t *testing.T) {
	p := newProvider(t)
	d, _ := keysOf(t, p.URL, newClock())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Key(ctx, "ed"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := d.Key(t.Context(), "ed"); err != nil {
		t.Errorf("the next caller: %v", err)
	}
}
