package vault

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffre/domain/citizen"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/proof"
	"coffre/handlers/acting"
	"coffre/handlers/api"
)

// saidSettings takes of a log what a process says of settings.
type saidSettings struct {
	mu   sync.Mutex
	told []string
}

func (s *saidSettings) Enabled(context.Context, slog.Level) bool { return true }
func (s *saidSettings) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *saidSettings) WithGroup(string) slog.Handler            { return s }

func (s *saidSettings) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if names, ok := a.Value.Any().([]string); ok && a.Key == "settings" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, names...)
		}
		return true
	})
	return nil
}

func (s *saidSettings) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

// A process that was started with another key of tokens, or other settings that all must share, than
// one that runs on the same keys is told which; one with the same is told nothing, and neither is one
// whose neighbour has ended.
func TestAProcessIsToldWhatItDoesNotShare(t *testing.T) {
	at := pgtest.Shared(t).Database(t)
	first, second := DataDir(t.TempDir()), DataDir(t.TempDir())
	open := func(dir DataDir, o Options) (*Instance, []string) {
		t.Helper()
		var said saidSettings
		o.Duty, o.Dev, o.Stores, o.Logger = Alone, true, StoresConfig{Log: at}, slog.New(&said)
		v, err := Open(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return v, said.names()
	}
	shut := func(v *Instance) {
		t.Helper()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	copied := func(name string) {
		t.Helper()
		content, err := os.ReadFile(first.File(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(second.File(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, told := open(first, Options{})
	if len(told) > 0 {
		t.Errorf("alone it is told of %q", told)
	}
	copied(KEKFile)
	two, told := open(second, Options{Limits: acting.Limits{"uploads.caller": 3}, Retentions: &citizen.Retentions{Backups: 30}})
	if want := []string{retentionSettings, "COFFRE_LIMITS", DevKeyFile}; !slices.Equal(told, want) {
		t.Errorf("it is told of %q, want %q", told, want)
	}
	shut(two)
	copied(DevKeyFile)
	two, told = open(second, Options{})
	if len(told) > 0 {
		t.Errorf("with all the same it is told of %q", told)
	}
	shut(one)
	shut(two)
	two, told = open(second, Options{Limits: acting.Limits{"uploads.caller": 3}})
	if len(told) > 0 {
		t.Errorf("when nobody else runs it is told of %q", told)
	}
	shut(two)
}

// Each setting that processes must share is told by its name where one has it otherwise, and those
// that are a process's own are not.
func TestEachSharedSettingIsCompared(t *testing.T) {
	address := func(text string) *url.URL {
		t.Helper()
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	witnessed := func(name string) Options {
		return Options{Witnesses: &WitnessesConfig{Policy: proof.Policy{Witnesses: []proof.PolicyWitness{{Name: name}}}}}
	}
	behind := Options{Public: address("https://vault.example"), OIDC: &OIDCConfig{}}
	for _, c := range []struct {
		name     string // "": they are a process's own, or the same
		one, two Options
	}{
		{"", Options{}, Options{}},
		{"COFFRE_LIMITS", Options{Limits: acting.Limits{"uploads.caller": 3}}, Options{Limits: acting.Limits{"uploads.caller": 4}}},
		{"", Options{Limits: acting.Limits{"uploads.caller": 3, "documents.pair": 4, "calls.citizen": 5}}, Options{Limits: acting.Limits{"calls.citizen": 5, "documents.pair": 4, "uploads.caller": 3}}},
		{"COFFRE_SUPPRESSION_REVIEW_DAYS", Options{SuppressionReview: time.Hour}, Options{}},
		{"", Options{SuppressionReview: defaultReviewDays * 24 * time.Hour}, Options{}},
		{retentionSettings, Options{Retentions: &citizen.Retentions{Backups: 30}}, Options{Retentions: &citizen.Retentions{Backups: 31}}},
		{retentionSettings, Options{Retentions: &citizen.Retentions{}}, Options{}},
		{"", Options{Retentions: &citizen.Retentions{Backups: 30}}, Options{Retentions: &citizen.Retentions{Backups: 30}}},
		{"COFFRE_BLOBS", Options{Blobs: &BlobsConfig{Endpoint: "https://a.example", Bucket: "b"}}, Options{Blobs: &BlobsConfig{Endpoint: "https://c.example", Bucket: "b"}}},
		{"COFFRE_BLOBS", Options{Blobs: &BlobsConfig{Bucket: "a"}}, Options{Blobs: &BlobsConfig{Bucket: "b"}}},
		{"COFFRE_BLOBS", Options{Blobs: &BlobsConfig{Bucket: "a", Prefix: "b/"}}, Options{Blobs: &BlobsConfig{Bucket: "a", Prefix: "c/"}}},
		{"COFFRE_BLOBS", Options{Blobs: &BlobsConfig{Bucket: "a"}}, Options{}},
		{"", Options{Blobs: &BlobsConfig{Bucket: "a", AccessKey: "one", SecretKeyFile: "one"}}, Options{Blobs: &BlobsConfig{Bucket: "a", AccessKey: "two", SecretKeyFile: "two"}}},
		{"COFFRE_EBOX_CONFIG", Options{Ebox: &EboxConfig{URL: "https://a.example"}}, Options{Ebox: &EboxConfig{URL: "https://b.example"}}},
		{"COFFRE_EBOX_CONFIG", Options{Ebox: &EboxConfig{}}, Options{}},
		{"COFFRE_BROKERS_CONFIG", Options{Brokers: &BrokersConfig{Links: []BrokerLink{{Name: "a"}}}}, Options{Brokers: &BrokersConfig{Links: []BrokerLink{{Name: "b"}}}}},
		{"COFFRE_PRICES", Options{Prices: &api.Prices{Currency: "EUR"}}, Options{Prices: &api.Prices{Currency: "CHF"}}},
		{"", Options{Prices: &api.Prices{Lists: []api.PriceList{{Calls: map[string]api.Amount{"a": 1, "b": 2, "c": 3}}}}}, Options{Prices: &api.Prices{Lists: []api.PriceList{{Calls: map[string]api.Amount{"c": 3, "b": 2, "a": 1}}}}}},
		{"COFFRE_WITNESS_POLICY", witnessed("a"), Options{}},
		{"COFFRE_WITNESS_POLICY", witnessed("a"), witnessed("b")},
		{"", witnessed("a"), witnessed("a")},
		{"COFFRE_BELGIF", Options{Belgif: os.DirFS(".")}, Options{}},
		{"", Options{Belgif: os.DirFS(".")}, Options{Belgif: os.DirFS("..")}},
		{"COFFRE_PAGES_CLIENT", Options{Login: &LoginConfig{ClientID: "a"}}, Options{Login: &LoginConfig{ClientID: "b"}}},
		{"COFFRE_PAGES_CLIENT", Options{Login: &LoginConfig{ClientID: "a"}}, Options{}},
		{"COFFRE_WEBHOOK_URL", Options{Webhook: &WebhookOptions{URL: "https://a.example"}}, Options{Webhook: &WebhookOptions{URL: "https://b.example"}}},
		{"COFFRE_WEBHOOK_URL", Options{Webhook: &WebhookOptions{URL: "https://a.example"}}, Options{}},
		{"COFFRE_PUBLIC_URL", behind, Options{Public: address("https://other.example"), OIDC: &OIDCConfig{}}},
		{"", Options{Public: address("http://127.0.0.1:1"), OIDC: &OIDCConfig{}}, Options{Public: address("http://127.0.0.1:2"), OIDC: &OIDCConfig{}}},
		{"", Options{Public: address("https://127.0.0.1:1"), OIDC: &OIDCConfig{}}, Options{Public: address("https://127.0.0.1:2"), OIDC: &OIDCConfig{}}},
		{"COFFRE_CHECKPOINTS", Options{Checkpoints: CheckpointsConfig{At: "vault-kv:a/b"}}, Options{Checkpoints: CheckpointsConfig{At: "vault-kv:a/c"}}},
		{"COFFRE_CHECKPOINTS", Options{Checkpoints: CheckpointsConfig{At: "vault-kv:a/b"}}, Options{}},
		{"", Options{Checkpoints: CheckpointsConfig{At: "file:/a"}}, Options{Checkpoints: CheckpointsConfig{At: "file:/b"}}},
		{"", Options{Checkpoints: CheckpointsConfig{At: "file:/a"}}, Options{}},
	} {
		if told := toldApart(t, c.one, c.two); told != c.name {
			t.Errorf("of %+v and %+v it is told %q, want %q", c.one, c.two, told, c.name)
		}
		// What only those do that answer is nothing to the others.
		c.one.Duty, c.two.Duty = Destroying, Destroying
		common := []string{"COFFRE_LIMITS", "COFFRE_SUPPRESSION_REVIEW_DAYS", retentionSettings, "COFFRE_BLOBS"}
		if told := toldApart(t, c.one, c.two); told != "" && !slices.Contains(common, told) {
			t.Errorf("destroyers are told of %q", told)
		}
	}
}

// toldApart returns the settings that a process with one is told of where another one has two.
func toldApart(t *testing.T, one, two Options) string {
	t.Helper()
	said := func(o Options) map[string]string {
		all, err := (&assembly{dir: DataDir(t.TempDir()), o: o}).shared()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	mine, others := said(one), said(two)
	var names []string
	for name, value := range mine {
		if other, says := others[name]; says && other != value {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
