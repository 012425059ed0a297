package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"coffre/cmd/coffre/vault"
)

// collector is a collector of traces that keeps what is sent to it.
type collector struct {
	mu   sync.Mutex
	sent []string
}

// collect starts a collector, and has everything recorded.
func collect(t *testing.T) (*collector, *vault.Traces) {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	traces, err := vault.TracesConfig{Endpoint: server.URL, Ratio: 1}.Read()
	if err != nil {
		t.Fatal(err)
	}
	return c, traces
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, string(body))
}

// holdNothingPersonal looks for canaries in the spans, among which there are some of these names.
func (c *collector) holdNothingPersonal(t *testing.T, f finder, names ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all, hits := strings.Join(c.sent, "\n"), map[string]string{}
	f.in("a span", []byte(all), hits)
	for canary, where := range hits { // invented or public test data, so it may be shown
		t.Errorf("%q stands in %s", canary, where)
	}
	for _, name := range names {
		if !strings.Contains(all, `"name":"`+name+`"`) {
			t.Errorf("no span is called %s, of %d bytes", name, len(all))
		}
	}
}
