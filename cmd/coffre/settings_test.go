package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"coffre/cmd/coffre/vault"
)

// started runs the program where only deciding how to serve is done, and returns its exit code,
// what it said, and how it would serve.
func started(t *testing.T, variables map[string]string, args ...string) (code int, out, said string, would *serveOptions) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := newProgram(terminal{Out: &stdout, Err: &stderr, Getenv: func(name string) string { return variables[name] }, Environ: func() (all []string) {
		for name, text := range variables {
			all = append(all, name+"="+text)
		}
		return all
	}})
	p.serve = func(_ context.Context, _ terminal, o serveOptions) error { would = &o; return nil }
	code = p.run(t.Context(), args)
	return code, stdout.String(), stderr.String(), would
}

// configFile writes a configuration file named coffre.yaml.
func configFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "coffre.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Every flag of the processes is a setting, and every variable that the program reads.
func TestEverySettingIsInTheTable(t *testing.T) {
	notSettings := []string{"data", "config", "help"}
	root, _ := newRoot(newProgram(terminal{}))
	withFlag := 0
	for _, name := range processes {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if slices.Contains(notSettings, f.Name) {
				return
			}
			withFlag++
			if !slices.ContainsFunc(settings, func(s setting) bool { return s.key == f.Name }) {
				t.Errorf("coffre %s has --%s, which is no line of settings", name, f.Name)
			}
		})
	}
	if withFlag < 40 {
		t.Errorf("%d flags only", withFlag)
	}
	elsewhere := []string{configVariable, "COFFRE_FROM", "COFFRE_FROM_KEYS", "COFFRE_BENCH_POSTGRES"}
	variable := regexp.MustCompile(`^COFFRE_[A-Z_]*[A-Z]$`)
	read := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING {
				return true
			}
			name, err := strconv.Unquote(text.Value)
			if err != nil || !variable.MatchString(name) || slices.Contains(elsewhere, name) {
				return true
			}
			read++
			if !slices.ContainsFunc(settings, func(s setting) bool { return s.variable() == name }) {
				t.Errorf("%s reads %s, which is no line of settings", path, name)
			}
			return true
		})
		return nil
	})
	if err != nil || read < 30 {
		t.Errorf("%d variables only, %v", read, err)
	}
	for i, s := range settings {
		if slices.ContainsFunc(settings[:i], func(o setting) bool { return o.key == s.key }) {
			t.Errorf("%s stands twice in settings", s.key)
		}
	}
}

// A flag counts before the variable, that before the file, and that before the default.
func TestSettingsCountInTheirOrder(t *testing.T) {
	file := configFile(t, "dev: true\nlisten: 127.0.0.1:1\nops-listen: 127.0.0.1:2\nlimits: {uploads.caller: 7}\nleave-notice: 9s\ncheckpoint-every: 3s\n")
	dir := t.TempDir()
	for _, tc := range []struct {
		variables      map[string]string
		args           []string
		listen, ops    string
		every, explain string
	}{
		{nil, []string{"--config", file}, "127.0.0.1:1", "127.0.0.1:2", "3s", "coffre.yaml:2"},
		{map[string]string{"COFFRE_CONFIG": file}, nil, "127.0.0.1:1", "127.0.0.1:2", "3s", "coffre.yaml:2"},
		{map[string]string{"COFFRE_LISTEN": "127.0.0.1:3", "COFFRE_CHECKPOINT_EVERY": "4s"}, []string{"--config", file}, "127.0.0.1:3", "127.0.0.1:2", "4s", "COFFRE_LISTEN"},
		{map[string]string{"COFFRE_LISTEN": "127.0.0.1:3"}, []string{"--config", file, "--listen", "127.0.0.1:4", "--ops-listen", "", "--checkpoint-every", "5s"}, "127.0.0.1:4", "", "5s", "--listen"},
		{map[string]string{"COFFRE_DEV": "true"}, nil, "127.0.0.1:8080", "127.0.0.1:0", "0s", "default"},
	} {
		code, _, said, o := started(t, tc.variables, append([]string{"serve", "--data", dir}, tc.args...)...)
		if code != 0 || o == nil || o.Listen != tc.listen || o.Ops != tc.ops || !o.Dev || o.Checkpoints.Every.String() != tc.every {
			t.Errorf("%v %v: %d %s %+v", tc.variables, tc.args, code, said, o)
		}
		code, out, said, _ := started(t, tc.variables, append([]string{"config", "explain", "--json"}, tc.args...)...)
		from := ""
		for line := range strings.Lines(out) {
			var one explained
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatal(err)
			}
			if one.Key == "listen" {
				from = one.From
				if one.Value != tc.listen {
					t.Errorf("explained is %+v", one)
				}
			}
		}
		if code != 0 || from != tc.explain {
			t.Errorf("%v %v: listen comes from %q, not %q: %s", tc.variables, tc.args, from, tc.explain, said)
		}
	}
}

// No secret is told.
func TestExplainShowsNoPassword(t *testing.T) {
	variables := map[string]string{
		"COFFRE_STORE": "postgres://coffre:hunter2@db.example/vault", "COFFRE_KEYS": "postgres://coffre@db.example/vault?password=hunter2",
		"COFFRE_READMODELS": "postgres://coffre:hunter2@one.example:5432,two.example:x/vault", "COFFRE_CHECKPOINTS": "postgres-other:postgres://coffre:hunter2@db.example/other",
	}
	for _, args := range [][]string{{"config", "explain"}, {"config", "explain", "--json", "--all"}} {
		code, out, said, _ := started(t, variables, args...)
		if code != 0 || !strings.Contains(out, "db.example/vault") || !strings.Contains(out, "COFFRE_KEYS") || strings.Contains(out+said, "hunter2") {
			t.Errorf("%d %s %s", code, out, said)
		}
	}
}

// Each mistake ends the start with one line that names what says it, the setting and what to do;
// coffre config check says the same, and nothing is served.
func TestEachMistakeIsToldInOneLine(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(dir, "away")
	type vars = map[string]string
	const dev = "dev: true\n"
	mistakes := []struct {
		file      string // "": none
		variables vars
		args      []string
		says      []string
	}{
		// Of the file itself.
		{"dev: true\nlisten 127.0.0.1:1\n", nil, nil, []string{"--config", "coffre.yaml:", "KEY: VALUE"}},
		{"- dev\n", nil, nil, []string{"coffre.yaml:1", "KEY: VALUE"}},
		{"dev: true\n---\nlisten: 127.0.0.1:1\n", nil, nil, []string{"coffre.yaml", "second document"}},
		{dev + "lissten: 127.0.0.1:1\n", nil, nil, []string{"coffre.yaml:2", `"lissten"`, "did you mean listen?"}},
		{dev + "COFFRE_LISTEN: 127.0.0.1:1\n", nil, nil, []string{"coffre.yaml:2", "in a file it is listen"}},
		{dev + "data: /srv\n", nil, nil, []string{"coffre.yaml:2", "--data"}},
		{dev + "something-else: 1\n", nil, nil, []string{"coffre.yaml:2", "coffre config explain"}},
		{dev + "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", nil, nil, []string{"coffre.yaml:3", "listen", "coffre.yaml:2", "once"}},
		{dev + "listen:\n", nil, nil, []string{"coffre.yaml:2", "listen says nothing"}},
		{dev + "limits: [{a: 1}]\n", nil, nil, []string{"coffre.yaml:2", "limits", "a list"}},
		{"", nil, []string{"--config", away}, []string{"--config", "no such file"}},
		{"", vars{"COFFRE_CONFIG": away}, nil, []string{"COFFRE_CONFIG", "no such file"}},
		// Secrets.
		{dev + "store: postgres://coffre:hunter2@db.example/vault\n", nil, nil, []string{"coffre.yaml:2", "PGPASSFILE", "COFFRE_STORE"}},
		{dev + "blobs-secret-key: hunter2\n", nil, nil, []string{"coffre.yaml:2", "blobs-secret-key-file"}},
		{dev + "webhook-secret: hunter2\n", nil, nil, []string{"coffre.yaml:2", "webhook-secret-file"}},
		{dev, vars{"COFFRE_VAULT_SECRET_ID": "hunter2"}, nil, []string{"COFFRE_VAULT_SECRET_ID is set", "COFFRE_VAULT_SECRET_ID_FILE"}},
		{dev, vars{"COFFRE_PAGES_CLIENT_SECRET": "hunter2"}, nil, []string{"COFFRE_PAGES_CLIENT_SECRET is set", "COFFRE_PAGES_CLIENT_SECRET_FILE"}},
		{dev, nil, []string{"--keys", "postgres://coffre:hunter2@db.example/vault"}, []string{"--keys", "COFFRE_KEYS"}},
		// Names that count nothing.
		{dev, vars{"COFFRE_VAULT_ADRR": "https://vault.example"}, nil, []string{"COFFRE_VAULT_ADRR", "did you mean COFFRE_VAULT_ADDR?"}},
		{dev, nil, []string{"--lissten", "127.0.0.1:1"}, []string{"--lissten", "did you mean --listen?"}},
		// Values.
		{"dev: perhaps\n", nil, nil, []string{"coffre.yaml:1", "--dev", "true or false"}},
		{dev, vars{"COFFRE_LEAVE_NOTICE": "soon"}, nil, []string{"COFFRE_LEAVE_NOTICE", "a duration"}},
		{dev + "leave-notice: 1h\n", nil, nil, []string{"coffre.yaml:2", "--leave-notice", "1m"}},
		{dev + "listen: everywhere\n", nil, nil, []string{"coffre.yaml:2", "--listen is HOST:PORT"}},
		{dev, vars{"COFFRE_LIMITS": "uploads=many"}, nil, []string{"COFFRE_LIMITS"}},
		{dev + "limits: {uploads.caller: 0}\n", nil, nil, []string{"coffre.yaml:2", "COFFRE_LIMITS"}},
		{dev + "backup-days: 30\n", nil, nil, []string{"COFFRE_ARCHIVE_DAYS is not set", "all retentions"}},
		{dev + "suppression-review-days: never\n", nil, nil, []string{"coffre.yaml:2", "COFFRE_SUPPRESSION_REVIEW_DAYS", "from 1 to"}},
		{dev + "checkpoint-every: 1ms\n", nil, nil, []string{"coffre.yaml:2", "COFFRE_CHECKPOINT_EVERY", "such as 1s"}},
		{dev + "store: mysql://db\n", nil, nil, []string{"coffre.yaml:2", "COFFRE_STORE", "postgres://"}},
		{"oidc-issuer: http://login.example\n", nil, nil, []string{"coffre.yaml:1", "COFFRE_OIDC_ISSUER"}},
		// What goes with what.
		{"", nil, nil, []string{"--dev", "--oidc-issuer (COFFRE_OIDC_ISSUER)"}},
		{dev + "oidc-issuer: https://login.example\n", nil, nil, []string{"coffre.yaml:1", "--dev", "choose one"}},
		{dev + "oidc-audience: coffre\n", nil, nil, []string{"coffre.yaml:2", "COFFRE_OIDC_AUDIENCE", "--oidc-issuer"}},
		{dev + "vault-role: r\n", nil, nil, []string{"coffre.yaml:2", "COFFRE_VAULT_ROLE", "COFFRE_VAULT_ADDR"}},
		{dev + "vault-addr: https://vault.example\nvault-role: r\n", nil, nil, []string{"COFFRE_VAULT_SECRET_ID_FILE is not set"}},
		{dev + "blobs: s3://files\n", nil, nil, []string{"COFFRE_BLOBS_ENDPOINT is needed"}},
		{dev + "webhook-url: https://hooks.example\n", nil, nil, []string{"coffre.yaml:2", "--webhook-url goes with --webhook-secret-file"}},
		{dev + "kurrent-users: " + there + "\n", nil, nil, []string{"coffre.yaml:2", "--kurrent-listen"}},
		{dev + "tls-cert: " + there + "\n", nil, nil, []string{"coffre.yaml:2", "--tls-cert", "--tls-key", "go together"}},
		{dev + "tls-client-ca-file: " + there + "\n", nil, nil, []string{"coffre.yaml:2", "--tls-client-ca-file", "--tls-cert"}},
		{dev + "witness-networks: 10.0.0.0/8\n", nil, nil, []string{"COFFRE_WITNESS_POLICY"}},
		{dev + "pages-client: coffre\n", nil, nil, []string{"coffre.yaml:2", "--pages-client", "--oidc-issuer"}},
		// Files that are not there, or hold something else.
		{dev + "vault-addr: https://vault.example\nvault-role: r\nvault-secret-id-file: " + away + "\n", nil, nil, []string{"coffre.yaml:4", "--vault-secret-id-file", "not there"}},
		{dev + "registry: " + away + "\n", nil, nil, []string{"coffre.yaml:2", "--registry", "not there"}},
		{dev + "witness-policy: " + there + "\n", nil, nil, []string{"coffre.yaml:2", "--witness-policy"}},
		// For trying out, and beyond loopback.
		{dev + "listen: 0.0.0.0:8080\n", nil, nil, []string{"coffre.yaml:2", "--listen", "only loopback"}},
		{dev + "ops-listen: 0.0.0.0:9464\n", nil, nil, []string{"coffre.yaml:2", "--ops-listen", "only loopback"}},
		{dev, nil, []string{"--kurrent-listen", "0.0.0.0:2113"}, []string{"--kurrent-listen", "off loopback"}},
		{"oidc-issuer: https://login.example\nlisten: 0.0.0.0:8080\n", nil, nil, []string{"coffre.yaml:2", "keys in a file"}},
	}
	if len(mistakes) < 30 {
		t.Fatalf("%d mistakes only", len(mistakes))
	}
	for i, m := range mistakes {
		args := append([]string{"--data", filepath.Join(dir, "data")}, m.args...)
		if m.file != "" {
			args = append(args, "--config", configFile(t, m.file))
		}
		for _, words := range [][]string{{"serve"}, {"config", "check"}} {
			code, out, said, would := started(t, m.variables, append(words, args...)...)
			if code != exitUsage || would != nil || out != "" || strings.Count(said, "\n") != 1 || strings.Contains(said, "hunter2") {
				t.Errorf("mistake %d, %v: %d %q %q", i, words, code, out, said)
			}
			for _, part := range m.says {
				if !strings.Contains(said, part) {
					t.Errorf("mistake %d, %v: %q does not say %q", i, words, said, part)
				}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a directory was made")
	}
}

// What coffre config check reads of files beyond that they are there.
func TestConfigCheckReadsFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		"dev: true\nwebhook-url: https://hooks.example\nwebhook-secret-file: " + empty + "\n": "coffre.yaml:3",
		"dev: true\nebox-config: " + empty + "\n":                                             "coffre.yaml:2",
	} {
		code, _, said, _ := started(t, nil, "config", "check", "--data", dir, "--config", configFile(t, text))
		if code != exitUsage || !strings.Contains(said, says) {
			t.Errorf("%s: %d %s", text, code, said)
		}
	}
	shared := map[string]string{vault.StoreVariable: "postgres://coffre@db.example/vault"}
	for _, as := range processes {
		args := []string{"config", "check", "--as", as, "--data", dir}
		if as == "serve" {
			args = append(args, "--dev")
		}
		if code, out, said, _ := started(t, shared, args...); code != 0 || !strings.Contains(out, "coffre "+as+" would start") {
			t.Errorf("%s: %d %s %s", as, code, out, said)
		}
	}
	if code, _, said, _ := started(t, nil, "config", "check", "--as", "rotator", "--data", dir); code != exitUsage || !strings.Contains(said, "--keys (COFFRE_KEYS)") {
		t.Errorf("%d %s", code, said)
	}
}

// Variables that Kubernetes sets for services, and those of others, end no start.
func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	variables := map[string]string{"COFFRE_DEV": "true"}
	for _, name := range []string{"COFFRE_SERVICE_HOST", "COFFRE_SERVICE_PORT", "COFFRE_PORT", "COFFRE_PORT_8080_TCP_ADDR", "COFFRE_OPS_SERVICE_PORT_METRICS", "COFFRE_OPTIONS", "COFFRE_TEST_STORE"} {
		variables[name] = "x"
	}
	if code, _, said, would := started(t, variables, "serve", "--data", t.TempDir()); code != 0 || would == nil {
		t.Errorf("%d %s", code, said)
	}
}

// docs/configuration.md is made from the table.
func TestEverySettingIsExplained(t *testing.T) {
	root, _ := newRoot(newProgram(terminal{}))
	var doc strings.Builder
	doc.WriteString("# Configuration\n\nMade by `go test ./cmd/coffre -run TestEverySettingIsExplained -update` from the table in cmd/coffre/settings.go.\n\n" +
		"A setting of `coffre serve`, `coffre destroyer` or `coffre rotator` is said by a flag, by a variable of the environment, or by a line of the configuration file, which `--config` names, or `COFFRE_CONFIG`. The first of these that says something counts; where none does it is the default. An empty variable says nothing. Commands that open a data directory read the variables, and the file that `COFFRE_CONFIG` names.\n\n" +
		"```sh\ncoffre config explain --config coffre.yaml\ncoffre config check --config coffre.yaml --data data\n```\n\n" +
		"The file is YAML of at most 64 KiB, with a line for each setting:\n\n```yaml\nlisten: 127.0.0.1:8080\noidc-issuer: https://login.example\noidc-types: [at+jwt, JWT]\nstore: postgres://coffre@db.example/vault\nlimits:\n  uploads.caller: 2000\n```\n\n" +
		"A list is the same as its members with commas between, a mapping as NAME=VALUE with commas between. Paths are relative to where the process was started. The directory of a vault is no setting: `--data` names it. **Secrets** lie in files of their own, which settings name; a secret as a line or a variable is refused. A password of PostgreSQL comes from the file that `PGPASSFILE` names, from `PGPASSWORD`, or stands in the address in a variable.\n\n" +
		"`duties` says which settings coffre destroyer and coffre rotator have, too.\n\n" +
		"| key in the file | variable | flag | duties | what it is |\n|---|---|---|---|---|\n")
	serve, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	duty, _, err := root.Find([]string{"destroyer"})
	if err != nil {
		t.Fatal(err)
	}
	common := []string{"vault-", "blobs", "checkpoint", "backup-", "archive-", "snapshot-", "suppression-", "limits"}
	for _, s := range settings {
		flag, about, duties := "", s.about, ""
		if f := serve.Flags().Lookup(s.key); f != nil {
			flag = "`--" + s.key + "`"
			about = cmp.Or(about, strings.TrimSpace(f.Usage+defaultOf(f)))
		}
		if about == "" {
			t.Errorf("nothing says what %s is", s.key)
		}
		if duty.Flags().Lookup(s.key) != nil || slices.ContainsFunc(common, func(prefix string) bool { return strings.HasPrefix(s.key, prefix) }) {
			duties = "yes"
		}
		fmt.Fprintf(&doc, "| `%s` | `%s` | %s | %s | %s |\n", s.key, s.variable(), flag, duties, strings.ReplaceAll(about, "`", ""))
	}
	const file = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(file, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != doc.String() {
		t.Errorf("%s is not what the table says (%v): run this test with -update", file, err)
	}
}

// defaultOf says a flag's default where its own words do not.
func defaultOf(f *pflag.Flag) string {
	if f.DefValue == "" || f.DefValue == "false" || f.DefValue == "0s" || strings.Contains(f.Usage, "default") {
		return ""
	}
	return " (default: " + f.DefValue + ")"
}
