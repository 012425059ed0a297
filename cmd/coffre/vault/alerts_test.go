package vault

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

var (
	metricName   = regexp.MustCompile(`\b(coffre_[a-z_]+)(?:\{([^}]*)\})?`)
	labelMatched = regexp.MustCompile(`([a-z]+)\s*(?:=~|!~|!=|=)`)
	grouping     = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	labelShown   = regexp.MustCompile(`\$labels\.([a-z]+)`)
	described    = regexp.MustCompile(`fqName: "(coffre_[a-z_]+)".*variableLabels: \{([^}]*)\}`)
)

// served returns the labels of each metric that a process serves, those included that have no
// value before something happened.
func served(t *testing.T) map[string][]string {
	t.Helper()
	v, err := Open(t.Context(), DataDir(t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	descs := make(chan *prometheus.Desc, 1000)
	newMetrics(v).registry.Describe(descs)
	close(descs)
	all := map[string][]string{}
	for d := range descs {
		if found := described.FindStringSubmatch(d.String()); found != nil {
			all[found[1]] = strings.Split(found[2], ",")
		}
	}
	return all
}

// Every alert asks for metrics and labels that a process serves, and has a section of the
// runbook; no section is left of an alert that is gone.
func TestAlertsAskForWhatIsServed(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/alerts/coffre.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      struct{ Severity string }
				Annotations struct{ Summary, Runbook string }
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../../deploy/runbooks/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections []string
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllSubmatch(runbook, -1) {
		sections = append(sections, string(heading[1]))
	}
	metrics := served(t)
	var alerts []string
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
			if !slices.Contains([]string{"page", "ticket"}, rule.Labels.Severity) || rule.Annotations.Summary == "" {
				t.Errorf("%s: severity %q, summary %q", rule.Alert, rule.Labels.Severity, rule.Annotations.Summary)
			}
			if want := "deploy/runbooks/alerts.md#" + strings.ToLower(rule.Alert); rule.Annotations.Runbook != want {
				t.Errorf("%s: the runbook is %s, want %s", rule.Alert, rule.Annotations.Runbook, want)
			}
			known := []string{"instance"} // of every scrape
			asked := metricName.FindAllStringSubmatch(rule.Expr, -1)
			if len(asked) == 0 {
				t.Errorf("%s asks for nothing", rule.Alert)
			}
			for _, one := range asked {
				labels, there := metrics[one[1]]
				if !there {
					t.Errorf("%s: nobody serves %s", rule.Alert, one[1])
				}
				known = append(known, labels...)
				for _, label := range labelMatched.FindAllStringSubmatch(one[2], -1) {
					if !slices.Contains(labels, label[1]) {
						t.Errorf("%s: %s has no label %s", rule.Alert, one[1], label[1])
					}
				}
			}
			var named []string
			for _, by := range grouping.FindAllStringSubmatch(rule.Expr, -1) {
				named = append(named, strings.FieldsFunc(by[1], func(r rune) bool { return r == ',' || r == ' ' })...)
			}
			for _, label := range labelShown.FindAllStringSubmatch(rule.Annotations.Summary, -1) {
				named = append(named, label[1])
			}
			for _, label := range named {
				if !slices.Contains(known, label) {
					t.Errorf("%s: its metrics have no label %s", rule.Alert, label)
				}
			}
		}
	}
	if !slices.Equal(alerts, sections) {
		t.Errorf("the alerts are %q, and the runbook has %q", alerts, sections)
	}
}

// Every alert has a case in which it is heard, and one in which it is not because the vault is
// well. Prometheus's own tool plays them in make interop.
func TestAlertsHaveCases(t *testing.T) {
	alerts := map[string][2]int{} // heard, silent
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	var cases struct {
		Tests []struct {
			Name  string
			Rules []struct {
				Alertname string
				Expected  []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	for name, into := range map[string]any{"rules": &rules, "test": &cases} {
		text, err := os.ReadFile("../../../deploy/alerts/coffre." + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range cases.Tests {
		for _, rule := range one.Rules {
			seen := alerts[rule.Alertname]
			switch {
			case len(rule.Expected) > 0:
				seen[0]++
			case one.Name == "well":
				seen[1]++
			}
			alerts[rule.Alertname] = seen
		}
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if seen := alerts[rule.Alert]; seen[0] == 0 || seen[1] == 0 {
				t.Errorf("%s is heard in %d cases of deploy/alerts/coffre.test.yaml, and silent in %d while the vault is well", rule.Alert, seen[0], seen[1])
			}
		}
	}
}
