package vault

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var legend = regexp.MustCompile(`\{\{([a-z]+)\}\}`)

// Every panel of the dashboards asks for metrics and labels that a process serves, and says what it
// shows.
func TestDashboardsAskForWhatIsServed(t *testing.T) {
	files, err := filepath.Glob("../../../deploy/grafana/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d dashboards: %v", len(files), err)
	}
	metrics := served(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			UID, Title, Description string
			Panels                  []struct {
				ID                 int
				Title, Description string
				GridPos            struct{ H, W, X, Y int }
				Targets            []struct{ Expr, LegendFormat string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".json"); board.UID != want || board.Description == "" || len(board.Panels) == 0 {
			t.Errorf("%s: uid %q, description %q, %d panels", file, board.UID, board.Description, len(board.Panels))
		}
		for i, panel := range board.Panels {
			name := board.UID + ", " + panel.Title
			if panel.Title == "" || panel.Description == "" || len(panel.Targets) == 0 {
				t.Errorf("%s: it says nothing of what it shows", name)
			}
			for _, other := range board.Panels[:i] {
				a, b := panel.GridPos, other.GridPos
				if other.ID == panel.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s lies over %s", name, other.Title)
				}
			}
			for _, target := range panel.Targets {
				asksForServed(t, name, target.Expr, target.LegendFormat, metrics)
			}
		}
	}
}

// asksForServed reports metrics and labels of a query, and labels of its legend, that nobody serves.
func asksForServed(t *testing.T, name, expr, shown string, metrics map[string][]string) {
	t.Helper()
	known := []string{"instance", "le"} // of every scrape, and of histograms
	asked := metricName.FindAllStringSubmatch(expr, -1)
	if len(asked) == 0 {
		t.Errorf("%s asks for nothing", name)
	}
	for _, one := range asked {
		metric := one[1]
		for _, part := range []string{"_bucket", "_count", "_sum"} {
			metric = strings.TrimSuffix(metric, part)
		}
		labels, there := metrics[metric]
		if !there {
			t.Errorf("%s: nobody serves %s", name, metric)
		}
		known = append(known, labels...)
	}
	var named []string
	for _, by := range grouping.FindAllStringSubmatch(expr, -1) {
		named = append(named, strings.FieldsFunc(by[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	for _, one := range asked {
		for _, label := range labelMatched.FindAllStringSubmatch(one[2], -1) {
			named = append(named, label[1])
		}
	}
	for _, label := range legend.FindAllStringSubmatch(shown, -1) {
		named = append(named, label[1])
	}
	for _, label := range named {
		if !slices.Contains(known, label) {
			t.Errorf("%s: its metrics have no label %s", name, label)
		}
	}
}
