package vault

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var updateMetrics = flag.Bool("update", false, "write docs/metrics.md anew")

var documented = regexp.MustCompile(`fqName: "(coffre_[a-z_]+)", help: "([^"]*)".*variableLabels: \{([^}]*)\}`)

// docs/metrics.md lists every metric of our own that a process serves, with its labels and what it
// counts.
func TestMetricsAreDocumented(t *testing.T) {
	v, err := Open(t.Context(), DataDir(t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	descs := make(chan *prometheus.Desc, 1000)
	newMetrics(v).registry.Describe(descs)
	close(descs)
	var rows []string
	for d := range descs {
		if found := documented.FindStringSubmatch(d.String()); found != nil {
			labels := strings.ReplaceAll(found[3], ",", "`, `")
			if labels != "" {
				labels = "`" + labels + "`"
			}
			rows = append(rows, "| `"+found[1]+"` | "+labels+" | "+found[2]+" |\n")
		}
	}
	if len(rows) < 30 {
		t.Fatalf("%d metrics only: this test looks in the wrong place", len(rows))
	}
	slices.Sort(rows)
	const page = "../../../docs/metrics.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), "|---|---|---|\n")
	if !found {
		t.Fatalf("%s has no table", page)
	}
	want := head + "|---|---|---|\n" + strings.Join(rows, "")
	if *updateMetrics {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not what is served; run this test with -update", page)
	}
}

// A scraper that asks for OpenMetrics gets it, and others the older text.
func TestMetricsAreOpenMetrics(t *testing.T) {
	v, err := Open(t.Context(), DataDir(t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for accept, want := range map[string]string{"application/openmetrics-text;version=1.0.0": "application/openmetrics-text", "": "text/plain"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		newMetrics(v).handler().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, want) {
			t.Errorf("Accept %q: %d, %s", accept, w.Code, got)
		}
		if ends := strings.HasSuffix(w.Body.String(), "# EOF\n"); ends != (want != "text/plain") {
			t.Errorf("Accept %q: the end is marked: %v", accept, ends)
		}
	}
}
