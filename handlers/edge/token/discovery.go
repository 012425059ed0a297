package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits on fetching and keeping the keys of a provider.
const (
	// DefaultRefresh is how often keys are fetched anew, where nothing else is said.
	DefaultRefresh  = 5 * time.Minute
	SmallestRefresh = 30 * time.Second
	LargestRefresh  = time.Hour
	// DefaultOutage is for how long keys count while the provider does not tell them, at most.
	DefaultOutage = 24 * time.Hour

	// fetchPause lies between two fetches, whatever tokens come.
	fetchPause = 5 * time.Second
	// retryPause lies between two fetches while the provider does not answer.
	retryPause   = 15 * time.Second
	fetchTimeout = 5 * time.Second
	// overdue is how long a refresh may be late before callers wait for it.
	overdue = 2 * fetchTimeout
	// maxWaiting bounds how many requests wait because their key is not known.
	maxWaiting  = 256
	maxDocument = 1 << 20 // bytes of a provider's answer
	maxKeys     = 64
	maxNamed    = 300 // bytes of an issuer that is repeated in the log
)

// ProviderOptions say how the keys of a provider are fetched. All fields may be zero.
type ProviderOptions struct {
	Transport http.RoundTripper // default http.DefaultTransport
	Now       func() time.Time  // default time.Now
	Logger    *slog.Logger      // told when an outage begins and ends; default: nobody
	Refresh   time.Duration     // how often keys are fetched anew; default DefaultRefresh
	// Outage is for how long keys count after they were fetched, while the provider does not
	// tell them; default DefaultOutage.
	Outage time.Duration
	// Wait returns after a time, or with the error of ctx; default: a timer.
	Wait func(ctx context.Context, d time.Duration) error
}

// ProviderKeys is the key set of an OpenID provider, found by its issuer URL. It implements
// Keys.
//
// Invariant: a key that the provider's last answer does not hold verifies nothing. While the
// provider answers, that answer is at most Refresh and ten seconds old; while it does not,
// at most Outage.
type ProviderKeys struct {
	issuer string
	client *http.Client
	o      ProviderOptions

	mu      sync.Mutex
	keys    map[string]*Key // nil: none were ever told
	login   Endpoints       // as told with keys
	fetched time.Time       // when the fetch of keys began
	tried   time.Time       // when the last fetch began
	begun   int             // fetches
	ended   int             // the number of the last fetch that ended
	flight  chan struct{}   // closed when the fetch that is to begin, or has begun, ends; nil: none
	failure *providerError  // of the last fetch
	failing time.Time       // since when every fetch fails
	told    map[string]bool // kinds of failures of this outage that the operator was told
	waiting int
}

// NewProviderKeys returns the keys of a provider. issuer is an https URL, or http on
// loopback. Nothing is fetched before Run, or the first token.
func NewProviderKeys(issuer string, o ProviderOptions) (*ProviderKeys, error) {
	if err := CheckURL(issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Refresh == 0 {
		o.Refresh = DefaultRefresh
	}
	if o.Outage == 0 {
		o.Outage = DefaultOutage
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	return &ProviderKeys{issuer: issuer, o: o, client: &http.Client{
		Transport:     bounded{o.Transport},
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errUnsafeURL = errors.New("a URL of a provider is https, or http on loopback")

// CheckURL refuses a URL at which answers could be forged on their way.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errUnsafeURL
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return errUnsafeURL
	}
	return nil
}

// Endpoints are where a provider logs people in and out (OpenID Connect Discovery 1.0, section 3;
// RP-Initiated Logout 1.0). One that it does not name, or that is not safe, is "".
type Endpoints struct {
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	EndSession    string `json:"end_session_endpoint"`
}

// Login returns where the provider logs people in, as it told with its keys. The error is an
// *[UnavailableError] while it has told none.
func (d *ProviderKeys) Login() (Endpoints, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil {
		return Endpoints{}, d.unavailable()
	}
	return d.login, nil
}

// Client returns the client that asks the provider: its answers are bounded in time and bytes,
// and redirects are not followed.
func (d *ProviderKeys) Client() *http.Client { return d.client }

// Run fetches the keys now, and anew until ctx ends.
func (d *ProviderKeys) Run(ctx context.Context) error {
	for {
		d.mu.Lock()
		ended := d.ended
		d.mu.Unlock()
		if d.await(ctx, ended, "") != nil || d.o.Wait(ctx, d.untilNext()) != nil {
			return nil // ctx has ended
		}
	}
}

// untilNext returns how long Run waits before its next fetch.
func (d *ProviderKeys) untilNext() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	every := d.o.Refresh
	if d.failure != nil {
		every = retryPause
	}
	return d.left(every)
}

// left returns how much of a pause after the last fetch is left. It is called with the lock
// held.
func (d *ProviderKeys) left(pause time.Duration) time.Duration {
	if d.tried.IsZero() {
		return 0
	}
	return min(pause, max(0, d.tried.Add(pause).Sub(d.o.Now())))
}

// Usable reports whether any key counts now, and how old the provider's last answer is.
func (d *ProviderKeys) Usable() (age time.Duration, usable bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.age()
}

// age is called with the lock held.
func (d *ProviderKeys) age() (age time.Duration, usable bool) {
	age = d.o.Now().Sub(d.fetched)
	return age, d.keys != nil && age < max(d.o.Outage, d.o.Refresh+overdue)
}

// Key implements Keys. A key that the last answer does not hold is waited for until the
// provider was asked once more, at most ten seconds: it may be newer than the answer.
func (d *ProviderKeys) Key(ctx context.Context, id string) (*Key, error) {
	d.mu.Lock()
	age, usable := d.age()
	late := age >= d.o.Refresh+overdue
	key, away := d.keys[id], d.failure != nil && d.left(retryPause+overdue) > 0
	after, newer := d.ended, ""
	if usable && !late {
		after, newer = d.begun, id // the fetch under way may not see it
	}
	d.mu.Unlock()
	switch {
	case usable && key != nil && (!late || away):
		return key, nil
	case away:
		return nil, d.unavailable()
	}
	if err := d.wait(ctx, after, newer); err != nil {
		return nil, err
	}
	d.mu.Lock()
	_, usable = d.age()
	key, away = d.keys[id], d.failure != nil
	d.mu.Unlock()
	switch {
	case usable && key != nil:
		return key, nil
	case away || !usable:
		return nil, d.unavailable()
	}
	return nil, rejectKey("kid", "names no key of the identity provider")
}

// unavailable says when the provider will be asked again.
func (d *ProviderKeys) unavailable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	why := "the identity provider has not told its keys yet"
	if d.failure != nil {
		why = d.failure.Error()
	}
	return &UnavailableError{Reason: why, After: d.left(retryPause) + time.Second}
}

// wait is await for a request: only so many wait at a time.
func (d *ProviderKeys) wait(ctx context.Context, after int, id string) error {
	d.mu.Lock()
	full := d.waiting >= maxWaiting
	if !full {
		d.waiting++
	}
	d.mu.Unlock()
	if full {
		return &UnavailableError{Reason: "too many requests wait for the identity provider's keys", After: fetchPause}
	}
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.waiting--
	}()
	return d.await(ctx, after, id)
}

// await returns when a fetch that began after that number of fetches has ended, or any fetch
// has found the key with an id. There is one fetch for all who wait; it outlives the caller
// who began it.
func (d *ProviderKeys) await(ctx context.Context, after int, id string) error {
	for {
		d.mu.Lock()
		if d.ended > after || id != "" && d.keys[id] != nil {
			d.mu.Unlock()
			return nil
		}
		flight := d.flight
		if flight == nil {
			flight = make(chan struct{})
			d.flight = flight
			go d.fly(context.WithoutCancel(ctx), flight, d.left(fetchPause))
		}
		d.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fly fetches the keys after a pause, and closes the flight. It ends within the pause and
// twice the time of a fetch.
func (d *ProviderKeys) fly(ctx context.Context, flight chan struct{}, pause time.Duration) {
	if pause > 0 {
		_ = d.o.Wait(ctx, pause) // ctx never ends
	}
	d.mu.Lock()
	d.begun++
	d.tried = d.o.Now()
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, login, failure := d.fetch(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure = failure; failure != nil {
		d.fail(ctx)
	} else {
		d.succeed(ctx, keys)
		d.login = login
	}
	d.ended, d.flight = d.begun, nil
	close(flight)
}

// fail tells the operator once an outage and kind of failure. It is called with the lock held.
func (d *ProviderKeys) fail(ctx context.Context) {
	if d.told == nil {
		d.told, d.failing = make(map[string]bool), d.tried
	}
	if d.told[d.failure.kind] {
		return
	}
	d.told[d.failure.kind] = true
	attrs := []any{slog.String("issuer", d.issuer), slog.String("error", d.failure.Error())}
	if _, usable := d.age(); usable {
		attrs = append(attrs, slog.Time("keysCountUntil", d.fetched.Add(d.o.Outage)))
	}
	d.o.Logger.ErrorContext(ctx, "the identity provider does not tell its keys", attrs...)
}

// succeed takes over what the provider told: a key that is not there is out of use, whatever
// it signed. It is called with the lock held.
func (d *ProviderKeys) succeed(ctx context.Context, keys map[string]*Key) {
	withdrawn := 0
	for id, old := range d.keys {
		if same(old, keys[id]) {
			keys[id] = old
		} else {
			withdrawn++
		}
	}
	issuer := slog.String("issuer", d.issuer)
	switch {
	case d.told != nil:
		d.o.Logger.InfoContext(ctx, "the identity provider tells its keys again", issuer, slog.Duration("after", d.tried.Sub(d.failing)))
	case d.keys == nil:
		d.o.Logger.InfoContext(ctx, "the identity provider tells its keys", issuer, slog.Int("keys", len(keys)))
	}
	if withdrawn > 0 {
		d.o.Logger.InfoContext(ctx, "the identity provider withdrew keys; the tokens that they signed do not count any more", issuer, slog.Int("keys", withdrawn))
	}
	if len(keys) == 0 && (d.keys == nil || len(d.keys) > 0) {
		d.o.Logger.WarnContext(ctx, "the identity provider tells no key that can be used: nobody is let in", issuer)
	}
	d.keys, d.fetched, d.told = keys, d.tried, nil
}

// same reports whether two keys of one id are one key.
func same(a, b *Key) bool {
	if a == nil || b == nil || a.Use != b.Use || a.Algorithm != b.Algorithm {
		return false
	}
	one, err := a.Thumbprint(crypto.SHA256)
	other, wrong := b.Thumbprint(crypto.SHA256)
	return err == nil && wrong == nil && string(one) == string(other)
}

// providerError says why a provider's keys are not known: made of its addresses, of statuses
// and of the issuer that it names.
type providerError struct{ kind, text string }

func (e *providerError) Error() string { return e.text }

func providerErrorf(kind, format string, args ...any) *providerError {
	return &providerError{kind, fmt.Sprintf(format, args...)}
}

// wellKnown is where the metadata of a provider lie (OpenID Connect Discovery 1.0, section
// 4.1): under the issuer, whose last slash does not count there.
const wellKnown = "/.well-known/openid-configuration"

// fetch asks the provider for its metadata, and for the keys where these say.
func (d *ProviderKeys) fetch(ctx context.Context) (map[string]*Key, Endpoints, *providerError) {
	at := strings.TrimSuffix(d.issuer, "/") + wellKnown
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
		Endpoints
	}
	if err := d.get(ctx, "the discovery document", at, &metadata); err != nil {
		return nil, Endpoints{}, err
	}
	if metadata.Issuer != d.issuer {
		return nil, Endpoints{}, providerErrorf("issuer", "the configured issuer is %q, and the provider's document at %s says %q: they have to be equal letter by letter, a slash at the end included", d.issuer, at, short(metadata.Issuer))
	}
	if CheckURL(metadata.Keys) != nil {
		return nil, Endpoints{}, providerErrorf("jwks_uri", "the document at %s names no jwks_uri that is https, or http on loopback", at)
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := d.get(ctx, "the key set", metadata.Keys, &set); err != nil {
		return nil, Endpoints{}, err
	}
	if set.Keys == nil || len(set.Keys) > maxKeys {
		return nil, Endpoints{}, providerErrorf("keys", "the key set at %s is none, or has more than %d keys", metadata.Keys, maxKeys)
	}
	keys := make(map[string]*Key)
	for _, raw := range set.Keys {
		if key, ok := readKey(raw); ok && key.KeyID != "" { // others are of a kind we do not use
			keys[key.KeyID] = &Key{key}
		}
	}
	for _, one := range []*string{&metadata.Authorization, &metadata.Token, &metadata.EndSession} {
		if CheckURL(*one) != nil {
			*one = ""
		}
	}
	return keys, metadata.Endpoints, nil
}

// short returns at most as much of a text as the log repeats.
func short(text string) string { return text[:min(len(text), maxNamed)] }

// get reads a JSON document of the provider.
func (d *ProviderKeys) get(ctx context.Context, what, from string, into any) *providerError {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return providerErrorf("address", "%s cannot be asked for at %s", what, from)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache") // no proxy's older answer: keys are withdrawn by leaving them out
	resp, err := d.client.Do(req)
	if err != nil {
		return providerErrorf("unreachable", "%s cannot be fetched: %v", what, err) // the error names the address
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		hint := ""
		switch {
		case resp.StatusCode == http.StatusNotFound:
			hint = ": there is none; is the issuer right?"
		case resp.StatusCode/100 == 3:
			hint = ": redirects are not followed"
		}
		return providerErrorf("status", "%s at %s is answered with HTTP status %d%s", what, from, resp.StatusCode, hint)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return providerErrorf("document", "%s at %s ended early, or is larger than %d bytes", what, from, maxDocument)
	}
	if json.Unmarshal(b, into) != nil {
		return providerErrorf("document", "%s at %s is not the JSON that it should be", what, from)
	}
	return nil
}

// bounded is a transport whose answers end at maxDocument bytes.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxDocument)
	return resp, nil
}
