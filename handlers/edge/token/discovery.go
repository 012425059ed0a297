package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"
)

// Limits on fetching and keeping the keys of a provider.
const (
	keysFreshFor     = time.Hour        // older keys are fetched again
	keysUsableFor    = 24 * time.Hour   // older keys verify no token
	minFetchInterval = 30 * time.Second // between two fetches, whatever tokens come
	fetchTimeout     = 5 * time.Second
	maxDocument      = 1 << 20 // bytes of a provider's answer
	maxKeys          = 64
)

// errProviderUnavailable reports that the provider's keys are not known now.
var errProviderUnavailable = errors.New("the identity provider cannot be reached")

// ProviderKeys is the key set of an OpenID provider, fetched by its issuer URL. It
// implements Keys, and goes on with the keys it has for a day while the provider is away.
type ProviderKeys struct {
	issuer string
	client *http.Client
	now    func() time.Time

	flight  singleflight.Group
	mu      sync.Mutex
	keys    map[string]jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	trying  bool
}

// NewProviderKeys returns the keys of a provider. issuer is an https URL, or http on
// loopback. Nothing is fetched before the first token comes. base is the transport to use;
// nil: http.DefaultTransport.
func NewProviderKeys(issuer string, base http.RoundTripper, now func() time.Time) (*ProviderKeys, error) {
	if err := safeURL(issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if base == nil {
		base = http.DefaultTransport
	}
	return &ProviderKeys{issuer: issuer, now: now, client: &http.Client{
		Transport:     bounded{base},
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

var errUnsafeURL = errors.New("a URL of a provider is https, or http on loopback")

func safeURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return errUnsafeURL
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return errUnsafeURL
	}
	return nil
}

// Key implements Keys.
func (d *ProviderKeys) Key(ctx context.Context, id string) (jose.JSONWebKey, error) {
	key, found, fresh, _ := d.cached(id)
	if found && fresh {
		return key, nil
	}
	if d.fetchDue() {
		// One fetch for all who wait; it outlives the caller who began it.
		done := d.flight.DoChan("", func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
			defer cancel()
			return nil, d.fetch(ctx)
		})
		select {
		case <-done:
		case <-ctx.Done():
			return jose.JSONWebKey{}, ctx.Err()
		}
	}
	// Also when nothing was due: another's fetch may have landed since the first look.
	key, found, _, usable := d.cached(id)
	switch {
	case !usable:
		return jose.JSONWebKey{}, errProviderUnavailable
	case !found:
		return jose.JSONWebKey{}, ErrInvalid
	}
	return key, nil
}

func (d *ProviderKeys) cached(id string) (key jose.JSONWebKey, found, fresh, usable bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	age := d.now().Sub(d.fetched)
	key, found = d.keys[id]
	usable = d.keys != nil && age < keysUsableFor
	return key, found && usable, age < keysFreshFor, usable
}

func (d *ProviderKeys) fetchDue() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trying || d.mayFetch()
}

// mayFetch is called with the lock held.
func (d *ProviderKeys) mayFetch() bool {
	return d.tried.IsZero() || d.now().Sub(d.tried) >= minFetchInterval
}

func (d *ProviderKeys) fetch(ctx context.Context) error {
	d.mu.Lock()
	if !d.mayFetch() { // another flight just landed
		d.mu.Unlock()
		return nil
	}
	d.tried, d.trying = d.now(), true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.trying = false
		d.mu.Unlock()
	}()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, d.client), d.issuer)
	if err != nil {
		return fmt.Errorf("discover: %w", err)
	}
	var metadata struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if err := safeURL(metadata.Keys); err != nil {
		return fmt.Errorf("jwks_uri: %w", err)
	}
	keys, err := d.fetchKeys(ctx, metadata.Keys)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys, d.fetched = keys, d.now()
	return nil
}

var errNoKeys = errors.New("the provider's answer holds no usable keys")

func (d *ProviderKeys) fetchKeys(ctx context.Context, from string) (map[string]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(b, &set) != nil || len(set.Keys) > maxKeys {
		return nil, errNoKeys
	}
	keys := make(map[string]jose.JSONWebKey)
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || key.KeyID == "" || !key.Valid() || !key.IsPublic() {
			continue // of a kind we do not use
		}
		keys[key.KeyID] = key
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
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
