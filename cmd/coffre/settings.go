package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// A setting is something of a process that may be configured: by a flag where its command has
// one, by a variable of the environment, or by a line of the configuration file. The first of
// these that says something counts.
type setting struct {
	key      string // of the line in the file, and of the flag where there is one
	about    string // "": the flag tells; a word in backquotes says what it is
	fill     bool   // the command reads only the flag, so whatever else is said is put there
	password bool   // an address that may hold a password in a variable, and nowhere else
	file     bool   // it names a file or a directory that must be there
	secret   bool   // that file holds a secret, which is never given otherwise
}

// variable is the name of the setting in the environment.
func (s setting) variable() string {
	return "COFFRE_" + strings.ToUpper(strings.ReplaceAll(s.key, "-", "_"))
}

// settings lists every setting of coffre serve, coffre destroyer and coffre rotator, and of the
// commands that open a data directory themselves. The directory itself is named by --data alone:
// which vault a command is about is never said from afar.
var settings = []setting{
	{key: "listen", fill: true},
	{key: "tls-cert", fill: true, file: true}, {key: "tls-key", fill: true, file: true}, {key: "tls-client-ca-file", fill: true, file: true},
	{key: "ops-listen", fill: true},
	{key: "public-url"},
	{key: "dev", fill: true},
	{key: "leave-notice", fill: true},
	{key: "alone", fill: true},
	{key: "registry", fill: true, file: true},
	{key: "belgif", fill: true, file: true},
	{key: "limits", about: "bounds of `budgets` that differ from their defaults, such as uploads.caller=2000 (docs/limits.md)"},

	{key: "oidc-issuer"}, {key: "oidc-audience"}, {key: "oidc-types"}, {key: "oidc-algorithms"}, {key: "oidc-claims"}, {key: "oidc-roles"},
	{key: "oidc-default-role"}, {key: "oidc-token-bytes"}, {key: "oidc-refresh"}, {key: "oidc-outage"}, {key: "oidc-ca-file", file: true},
	{key: "pages-client"}, {key: "pages-client-secret-file", file: true, secret: true}, {key: "pages-scopes"},
	{key: "pages-contact", fill: true},

	{key: "store", password: true}, {key: "readmodels", password: true}, {key: "keys", password: true},
	{key: "checkpoints", password: true}, {key: "checkpoint-every"}, {key: "checkpoint-events"},
	{key: "witness-policy", file: true}, {key: "witness-networks"}, {key: "witness-ca-file", file: true},

	{key: "vault-addr", about: "`address` of HashiCorp's Vault, which keeps the keys (default: they lie in a file, for trying out)"},
	{key: "vault-namespace", about: "`namespace` of Vault Enterprise"},
	{key: "vault-mount", about: "`mount` of the Transit engine (default: coffre)"},
	{key: "vault-ca-file", about: "`file` of PEM certificates to trust at Vault (default: the system's)", file: true},
	{key: "vault-server-name", about: "`name` in Vault's certificate (default: the address's host)"},
	{key: "vault-auth", about: "`method` of logging in at Vault: approle or kubernetes (default: approle)"},
	{key: "vault-auth-mount", about: "`mount` of that method (default: its name)"},
	{key: "vault-timeout", about: "`time` that one call to Vault may take (default: 900ms)"},
	{key: "vault-role", about: "`role` of the processes that serve"},
	{key: "vault-secret-id-file", about: "`file` with its secret id (approle)", file: true, secret: true},
	{key: "vault-token-file", about: "`file` with the token of its service account (kubernetes)", file: true, secret: true},
	{key: "vault-rotator-role", about: "`role` of the rotator"},
	{key: "vault-rotator-secret-id-file", about: "`file` with its secret id (approle)", file: true, secret: true},
	{key: "vault-rotator-token-file", about: "`file` with the token of its service account (kubernetes)", file: true, secret: true},
	{key: "vault-destroyer-role", about: "`role` of the destroyer"},
	{key: "vault-destroyer-secret-id-file", about: "`file` with its secret id (approle)", file: true, secret: true},
	{key: "vault-destroyer-token-file", about: "`file` with the token of its service account (kubernetes)", file: true, secret: true},

	{key: "blobs", about: "`bucket` for the sealed files of documents, s3://NAME (default: a folder beside the data)"},
	{key: "blobs-endpoint", about: "`URL` of the S3 server"},
	{key: "blobs-region", about: "`region` of the bucket"},
	{key: "blobs-access-key", about: "`id` of the key that may write there"},
	{key: "blobs-secret-key-file", about: "`file` with the secret of that key", file: true, secret: true},
	{key: "blobs-ca-file", about: "`file` of PEM certificates to trust there (default: the system's)", file: true},

	{key: "webhook-url", fill: true}, {key: "webhook-secret-file", fill: true, file: true, secret: true},
	{key: "ebox-config", fill: true, file: true},
	{key: "brokers-config", fill: true, file: true},
	{key: "prices", fill: true, file: true},
	{key: "traces-endpoint", fill: true}, {key: "traces-ratio", fill: true}, {key: "traces-continue", fill: true},
	{key: "traces-headers-file", fill: true, file: true, secret: true}, {key: "traces-ca-file", fill: true, file: true},
	{key: "kurrent-listen", fill: true},
	{key: "kurrent-cert", fill: true, file: true}, {key: "kurrent-key", fill: true, file: true}, {key: "kurrent-users", fill: true, file: true},

	{key: "backup-days", about: "for how many `days` backups of the key ring are kept; with the next two: all or none is stated"},
	{key: "archive-days", about: "for how many `days` archives of its write-ahead log are kept; 0: there are none"},
	{key: "snapshot-days", about: "for how many `days` snapshots of Vault are kept; 0: there are none"},
	{key: "suppression-review-days", about: "after how many `days` the memory of an erased person's number is due for a review (default: 1826)"},
}

// configVariable names the configuration file where no flag does.
const configVariable = "COFFRE_CONFIG"

// maxConfigFile bounds the configuration file in bytes.
const maxConfigFile = 64 << 10

// statement is what a configuration file says of one setting.
type statement struct {
	value string
	at    string // file and line
}

// configured is what a file says, by key.
type configured map[string]statement

// readConfig reads a configuration file: a mapping in YAML of keys of settings to values, of
// which a list is taken as its members with commas between. The error tells all that is wrong,
// and repeats no value.
func readConfig(path string) (configured, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errors.New("there is no such file, or this account may not read it")
	case !info.Mode().IsRegular() || info.Size() > maxConfigFile:
		return nil, fmt.Errorf("it is no file of at most %d KiB", maxConfigFile>>10)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.New("there is no such file, or this account may not read it")
	}
	name := filepath.Base(path)
	var whole, more yaml.Node
	read := yaml.NewDecoder(bytes.NewReader(text))
	if err := read.Decode(&whole); errors.Is(err, io.EOF) {
		return configured{}, nil
	} else if err != nil { // whose text may repeat what stands there
		at := name
		if m := lineOfYAML.FindStringSubmatch(err.Error()); m != nil {
			at += ":" + m[1]
		}
		return nil, fmt.Errorf("%s: it is no YAML here: write a line KEY: VALUE for each setting", at)
	}
	if err := read.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it holds a second document: write one, without a line ---", name)
	}
	top := whole.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return configured{}, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: write a line KEY: VALUE for each setting", name, top.Line)
	}
	said, wrong := configured{}, []error(nil)
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		at := fmt.Sprintf("%s:%d", name, key.Line)
		mistake := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)))
		}
		k := slices.IndexFunc(settings, func(s setting) bool { return s.key == key.Value })
		text, ok := plain(value)
		switch {
		case k < 0:
			mistake("there is no setting %q%s", printable(key.Value), hintAbout(key.Value))
		case said[key.Value].at != "":
			mistake("%s is said in %s already: say it once", key.Value, said[key.Value].at)
		case !ok:
			mistake("%s is a text, a number, or a list or a mapping of such, without commas", key.Value)
		case text == "":
			mistake("%s says nothing: give it a value, or remove the line", key.Value)
		case settings[k].password && hasPassword(strings.TrimPrefix(text, "postgres-other:")):
			mistake("a password among the settings: write it to the file that PGPASSFILE names, or the whole address into %s", settings[k].variable())
		default:
			said[key.Value] = statement{text, at}
		}
	}
	return said, errors.Join(wrong...)
}

// lineOfYAML finds the line that the library names.
var lineOfYAML = regexp.MustCompile(`\bline (\d+)`)

// plain returns the text of a scalar; of a list its members, and of a mapping NAME=VALUE for each
// member, with commas between.
func plain(n *yaml.Node) (string, bool) {
	var all []string
	whole := true
	one := func(n *yaml.Node) string {
		whole = whole && n.Kind == yaml.ScalarNode && n.Tag != "!!null" && !strings.Contains(n.Value, ",")
		return n.Value
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "", true
		}
		return n.Value, true
	case yaml.SequenceNode:
		for _, member := range n.Content {
			all = append(all, one(member))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			all = append(all, one(n.Content[i])+"="+one(n.Content[i+1]))
		}
	default:
		return "", false
	}
	return strings.Join(all, ","), whole
}

// hintAbout says what comes near a key that is none.
func hintAbout(key string) string {
	var keys []string
	for _, s := range settings {
		if key == s.variable() {
			return "; in a file it is " + s.key
		}
		keys = append(keys, s.key)
	}
	if key == "data" {
		return ": the directory is named by --data"
	}
	if s, plain := secretOf(key); plain {
		return ": a secret lies in a file of its own, which " + s.key + " names"
	}
	if near := nearest(key, keys); near != "" {
		return near
	}
	return "; coffre config explain lists them"
}

// secretOf returns the setting that names a file, where key says the secret itself.
func secretOf(key string) (setting, bool) {
	k := slices.IndexFunc(settings, func(s setting) bool { return s.secret && strings.TrimSuffix(s.key, "-file") == key })
	if k < 0 {
		return setting{}, false
	}
	return settings[k], true
}

// settle takes what variables and the configuration file say for whatever was not typed. After
// it the command's flags and [terminal.env] hold what counts.
func (p *program) settle(cmd *cobra.Command) error {
	_, configurable := cmd.Annotations[isConfigured]
	if !configurable && cmd.Flags().Lookup("data") == nil && cmd.Flags().Lookup("store") == nil {
		return nil // it asks no vault
	}
	path, given := p.env(configVariable), configVariable
	if f := cmd.Flags().Lookup("config"); f != nil && f.Changed {
		path, given = f.Value.String(), "--config"
	}
	p.variables = p.Getenv
	if path != "" {
		said, err := readConfig(path)
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("%s: %w", given, err)}
		}
		p.said, p.Getenv = said, over(p.Getenv, said)
	}
	if !configurable {
		return nil
	}
	wrong := p.strayVariables()
	p.typed = map[string]bool{}
	for _, s := range settings {
		f := cmd.Flags().Lookup(s.key)
		if f == nil {
			continue
		}
		p.typed[s.key] = f.Changed
		if text := p.env(s.variable()); s.fill && !f.Changed && text != "" {
			if err := f.Value.Set(text); err != nil {
				wrong = append(wrong, fmt.Errorf("--%s (%s) %s", s.key, s.variable(), kindOf(f)))
			}
			f.Changed = true
		}
	}
	if len(wrong) > 0 {
		return p.sourced(&exitError{exitUsage, errors.Join(wrong...)})
	}
	return nil
}

// notOurs are variables that Kubernetes sets for a service whose name begins with coffre, those of
// other commands, and those of what starts the program.
var notOurs = regexp.MustCompile(`^COFFRE_(?:(?:.*_)?SERVICE_(?:HOST|PORT.*)|(?:.*_)?PORT(?:_\d+_.*)?|OPTIONS|CONFIG|FROM|FROM_KEYS|SOAK|BENCH_.*|TEST_.*)$`)

// strayVariables refuses variables that hold a secret, and those whose name comes near one that
// counts: it would be silently without effect.
func (p *program) strayVariables() (wrong []error) {
	if p.Environ == nil {
		return nil
	}
	var known []string
	for _, s := range settings {
		known = append(known, s.variable())
	}
	for _, pair := range p.Environ() {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "COFFRE_") || text == "" || slices.Contains(known, name) {
			continue
		}
		key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "COFFRE_"), "_", "-"))
		if s, plain := secretOf(key); plain {
			wrong = append(wrong, fmt.Errorf("%s is set: write the secret to a file, and name that by %s", name, s.variable()))
		} else if near := nearest(name, known); near != "" && !notOurs.MatchString(name) {
			wrong = append(wrong, fmt.Errorf("%s is no setting%s", name, near))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return wrong
}

// over returns a lookup of variables that finds, of settings that have no variable set, what the
// file says.
func over(env func(string) string, said configured) func(string) string {
	byVariable := map[string]string{}
	for _, s := range settings {
		if l, ok := said[s.key]; ok {
			byVariable[s.variable()] = l.value
		}
	}
	return func(name string) string {
		if env != nil {
			if text := env(name); text != "" {
				return text
			}
		}
		return byVariable[name]
	}
}

// source returns where a setting's value comes from: its flag, its variable, or file and line;
// "" where nothing says it.
func (p *program) source(s setting) string {
	switch {
	case p.typed[s.key]:
		return "--" + s.key
	case p.variables != nil && p.variables(s.variable()) != "":
		return s.variable()
	}
	return p.said[s.key].at
}

// settingsNamed finds the settings that a sentence names, by flag or variable.
var settingsNamed = regexp.MustCompile(`--[a-z][a-z-]*|\bCOFFRE_[A-Z_]+`)

// sourced returns a mistake of usage with the file and line, or the variable, that said what it
// is about, where the sentence does not name that itself.
func (p *program) sourced(err error) error {
	coded, ok := errors.AsType[*exitError](err)
	if p.typed == nil || !ok || coded.code != exitUsage || coded.err == nil {
		return err
	}
	var all []error
	for _, sentence := range strings.Split(coded.err.Error(), "\n") {
		var from []string
		for _, name := range settingsNamed.FindAllString(sentence, -1) {
			k := slices.IndexFunc(settings, func(s setting) bool { return name == "--"+s.key || name == s.variable() })
			if k < 0 {
				continue
			}
			if at := p.source(settings[k]); at != "" && !strings.Contains(sentence, at) && !slices.Contains(from, at) {
				from = append(from, at)
			}
		}
		if len(from) > 0 {
			sentence = strings.Join(from, ", ") + ": " + sentence
		}
		all = append(all, errors.New(sentence))
	}
	return &exitError{exitUsage, errors.Join(all...)}
}

// checkFiles refuses settings that name a file or a directory which is not there, or cannot be read.
func (p *program) checkFiles(cmd *cobra.Command) error {
	var wrong []error
	for _, s := range settings {
		path := p.value(cmd, s)
		if !s.file || path == "" {
			continue
		}
		f, err := os.Open(path)
		if err == nil {
			err = f.Close()
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			wrong = append(wrong, fmt.Errorf("--%s (%s) names a file that is not there", s.key, s.variable()))
		case err != nil:
			wrong = append(wrong, fmt.Errorf("--%s (%s) names a file that this account may not read", s.key, s.variable()))
		}
	}
	if len(wrong) > 0 {
		return &exitError{exitUsage, errors.Join(wrong...)}
	}
	return nil
}

// value returns what counts of a setting; "" where nothing says it.
func (p *program) value(cmd *cobra.Command, s setting) string {
	if p.typed[s.key] {
		return cmd.Flags().Lookup(s.key).Value.String()
	}
	return p.env(s.variable())
}

// isConfigured annotates a command whose settings come from flags, variables and the file.
const isConfigured = "configured"

// configuredBy registers --config, and has variables and the file say what flags do not.
func configuredBy(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "`file` of settings in YAML, a line KEY: VALUE for each (default: "+configVariable+"; docs/configuration.md)")
	_ = cmd.MarkFlagFilename("config") // only for a flag that is not there
	cmd.Annotations = map[string]string{isConfigured: ""}
}

// kindOf says what a flag takes.
func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "is true or false"
	case "duration":
		return "is a duration, such as 90s"
	}
	return "is of type " + f.Value.Type()
}
