package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coffre/cmd/coffre/vault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	is, was := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for n := range is {
		if n >= len(was) || is[n] != was[n] {
			t.Errorf("differs from %s in line %d (go test -update writes it): %q", path, n+1, is[n])
			return
		}
	}
	t.Errorf("%s has more than it should (go test -update writes it)", path)
}

// each calls f with every command a person can type.
func each(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			each(sub, f)
		}
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	s := &shell{t: t}
	root, _ := newRoot(newProgram(terminal{}))
	var all strings.Builder
	commands := 0
	each(root, func(cmd *cobra.Command) {
		commands++
		words := strings.Fields(cmd.CommandPath())[1:]
		help := s.must(0, append(words, "--help")...)
		if help.err != "" {
			t.Errorf("%s: help on standard error: %s", cmd.CommandPath(), help.err)
		}
		example, usage := strings.Index(help.out, "Examples:\n  "), strings.Index(help.out, "Usage:")
		if example < 0 || usage < example {
			t.Errorf("%s: the help does not begin with an example:\n%s", cmd.CommandPath(), help.out)
		}
		if !strings.Contains(help.out, exitCodes) || cmd.Short == "" {
			t.Errorf("%s: the help lacks exit codes or what it is for", cmd.CommandPath())
		}
		if len(words) > 0 && words[0] != "completion" { // cobra's own text
			all.WriteString("$ " + cmd.CommandPath() + " --help\n" + help.out + "\n")
		}
	})
	if commands < 30 {
		t.Fatalf("only %d commands were found", commands)
	}
	golden(t, "help.txt", all.String())
}

// continued is where an example goes on in the next line.
var continued = regexp.MustCompile(`\\\n\s*`)

// TestExamplesAreRight types every example far enough to know that its command
// and flags exist.
func TestExamplesAreRight(t *testing.T) {
	root, _ := newRoot(newProgram(terminal{}))
	examples := 0
	each(root, func(cmd *cobra.Command) {
		text := continued.ReplaceAllString(cmd.Example, " ")
		for line := range strings.Lines(text) {
			_, line, found := strings.Cut(line, "coffre ")
			if !found {
				t.Errorf("%s: an example without coffre: %q", cmd.CommandPath(), line)
				continue
			}
			examples++
			line, _, _ = strings.Cut(line, "    ") // what it does
			rightlyTyped(t, cmd.CommandPath(), line, true)
		}
	})
	if examples < 40 {
		t.Fatalf("only %d examples were found", examples)
	}
}

// substituted is what a shell puts a command's output for.
var substituted = regexp.MustCompile(`\$\([^)]*\)`)

// rightlyTyped types the words after coffre far enough to know that the command and its flags
// exist; and, when whole, that nothing is missing.
func rightlyTyped(t *testing.T, where, line string, whole bool) {
	t.Helper()
	line = substituted.ReplaceAllString(line, "x")
	for _, shells := range []string{" > ", " < ", " | ", " && ", " &", ";", ")"} {
		line, _, _ = strings.Cut(line, shells)
	}
	fresh, _ := newRoot(newProgram(terminal{}))
	found, rest, err := fresh.Find(strings.Fields(line))
	if err != nil {
		t.Errorf("%s: example %q: %v", where, line, err)
		return
	}
	if group := found.HasAvailableSubCommands() && found.Annotations[runsItself] == ""; group && (whole || len(rest) > 0) {
		t.Errorf("%s: example %q is not a command", where, line)
		return
	}
	err = found.ParseFlags(rest)
	if whole {
		if err == nil {
			err = found.ValidateArgs(found.Flags().Args())
		}
		if err == nil {
			err = checkFlags(found)
		}
	}
	if err != nil {
		t.Errorf("%s: example %q: %v", where, line, err)
	}
}

var (
	fenced = regexp.MustCompile("(?s)\n```[a-z]*\n(.*?)\n```")
	// typedIn finds a command at the beginning of a line, after a prompt, or in $( ).
	typedIn = regexp.MustCompile(`(?m)(?:^\s*(?:\$ )?|\$\()(?:\./)?(?:bin/)?coffre ([^\n]*)`)
)

// TestCommandsOfTheDocumentsAreRight types every command of a block in the README, the documents
// and the runbooks far enough to know that it and its flags exist.
func TestCommandsOfTheDocumentsAreRight(t *testing.T) {
	typed := 0
	for _, pattern := range []string{"../../README.md", "../../docs/*.md", "../../docs/decisions/*.md", "../../deploy/*/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
				for _, line := range typedIn.FindAllStringSubmatch(continued.ReplaceAllString(block[1], " "), -1) {
					words, _, _ := strings.Cut(line[1], "  # ")
					typed++
					rightlyTyped(t, name, words, !strings.Contains(words, "..."))
				}
			}
		}
	}
	if typed < 15 {
		t.Fatalf("only %d commands were found", typed)
	}
}

func TestUsageMistakesAreCode2(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":             {[]string{"wallets"}, "did you mean wallet?"},
		"another name":                {[]string{"docs"}, "did you mean documents?"},
		"unknown command in a group":  {[]string{"documents", "imprt"}, "did you mean import?"},
		"unknown command, with flags": {[]string{"audit", "prove", "--data", dir}, `unknown command "prove" for "coffre audit"`},
		"mistyped command with flags": {[]string{"audit", "repla", "--data", dir}, "did you mean replay?"},
		"flags without a command":     {[]string{"audit", "--data", dir}, "a command comes first: coffre audit COMMAND"},
		"unknown first word, flags":   {[]string{"walet", "--data", dir}, "did you mean wallet?"},
		"unknown flag":                {[]string{"version", "--jsn"}, "unknown flag --jsn; did you mean --json?"},
		"argument too many":           {[]string{"version", "now"}, `coffre version takes no "now"`},
		"argument missing":            {[]string{"documents", "show", "--data", dir}, "ID is missing; usage: coffre documents show ID"},
		"required flag missing":       {[]string{"token", "--data", dir}, "--role is missing"},
		"neither data nor url":        {[]string{"health"}, "--data or --url is missing"},
		"both data and url":           {[]string{"projections", "status", "--data", dir, "--url", "https://vault.example", "--token-file", "x"}, "--data and --url exclude each other"},
		"url without token":           {[]string{"projections", "status", "--url", "https://vault.example"}, "--url goes with --token-file"},
		"url in clear":                {[]string{"health", "--url", "http://vault.example", "--token-file", file(t, "t", "x")}, "--url is https://host"},
		"no such role":                {[]string{"token", "--data", dir, "--role", "king"}, "--role is one of"},
		"issuer without organisation": {[]string{"token", "--data", dir, "--role", "issuer"}, "needs --org"},
		"citizen of an organisation":  {[]string{"token", "--data", dir, "--role", "citizen", "--org", "0206731645"}, "no organisation"},
		"auditor who is a citizen":    {[]string{"token", "--data", dir, "--role", "auditor", "--citizen", "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"}, "for the role citizen"},
		"wrong check digits":          {[]string{"token", "--data", dir, "--role", "issuer", "--org", "0206731646"}, "invalidEnterpriseNumber"},
		"scope of another role":       {[]string{"token", "--data", dir, "--role", "auditor", "--scopes", "documents:issue"}, "--scopes: those of role auditor"},
		"not a number":                {[]string{"consents", "grant", "--uses", "4711x"}, "--uses is a whole number"},
		"no use at all":               {[]string{"consents", "grant", "--data", dir, "--citizen", anna, "--consumer", "0203430576", "--purpose", "p", "--type", "t", "--uses", "0"}, "--uses is at least 1"},
		"not a duration":              {[]string{"token", "--ttl", "4711"}, "--ttl is a duration"},
		"value missing":               {[]string{"token", "--ttl"}, "--ttl needs a value"},
		"no letters for flags":        {[]string{"token", "-r"}, "unknown flag -r"},
		"endless token":               {[]string{"token", "--data", dir, "--role", "auditor", "--ttl", "10000h"}, "--ttl"},
		"not an id":                   {[]string{"wallet", "show", "--data", dir, "--citizen", "me"}, "a UUID"},
		"nobody's wallet":             {[]string{"wallet", "show", "--data", dir}, "--ssin-file is needed"},
		"not a day":                   {[]string{"wallet", "show", "--data", dir, "--citizen", "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44", "--valid-at", "soon"}, "--valid-at"},
		"not a type":                  {[]string{"audit", "replay", "--data", dir, "--type", "Everything"}, "--type"},
		"no such type":                {[]string{"audit", "replay", "--data", dir, "--citizen", anna, "--type", "consent.grantd"}, "did you mean consent.granted?"},
		"token for what is open":      {[]string{"health", "--data", dir, "--token-file", "x"}, "--data and --token-file exclude each other"},
		"not a stream":                {[]string{"audit", "replay", "--data", dir, "--stream", "*"}, "--stream is the name of a stream: registry, or"},
		"a kind without an id":        {[]string{"audit", "replay", "--data", dir, "--stream", "consent"}, "--stream is the name of a stream: registry, or"},
		"a stream of no kind":         {[]string{"audit", "bundle", "--out", "x", "--data", dir, "--stream", "consnt-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"}, "--stream is the name of a stream: registry, or"},
		"no such format":              {[]string{"export", "consentLog", "--data", dir, "--reason", "audit", "--out", "-", "--format", "ods"}, "--format is one of"},
		"an export without a reason":  {[]string{"export", "register", "--data", dir, "--out", "-"}, "--reason"},
		"a separator of a workbook":   {[]string{"export", "register", "--data", dir, "--reason", "audit", "--out", "-", "--format", "xlsx", "--separator", "tab"}, "--separator is of CSV"},
		"no such dialect":             {[]string{"export", "register", "--data", dir, "--reason", "audit", "--out", "-", "--dialect", "excel"}, "--dialect is one of"},
		"erasing without being sure":  {[]string{"erase", "approve", "--data", dir, "0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"}, "--yes"},
		"trimming without being sure": {[]string{"keys", "trim", "--data", dir}, "--yes"},
		"serving without tokens":      {[]string{"serve", "--data", dir}, "--dev, or --oidc-issuer"},
		"a provider in clear":         {[]string{"serve", "--data", dir, "--oidc-issuer", "http://i.example"}, "--oidc-issuer: a URL of a provider is https"},
		"a provider and --dev":        {[]string{"serve", "--data", dir, "--dev", "--oidc-issuer", "https://i.example"}, "choose one"},
		"settings of no provider":     {[]string{"serve", "--data", dir, "--dev", "--oidc-types", "JWT"}, "--oidc-types is set, and no provider"},
		"a wrong setting":             {[]string{"serve", "--data", dir, "--oidc-issuer", "https://i.example", "--oidc-refresh", "1s"}, "--oidc-refresh: it is a duration"},
		"a public URL in clear":       {[]string{"serve", "--data", dir, "--dev", "--public-url", "http://vault.example"}, "--public-url"},
		"serving the world":           {[]string{"serve", "--dev", "--data", dir, "--listen", "0.0.0.0:8080"}, "loopback"},
		"serving every address":       {[]string{"serve", "--dev", "--data", dir, "--listen", ":8080"}, "loopback"},
		"operators nowhere":           {[]string{"serve", "--dev", "--data", dir, "--ops-listen", "9464"}, "--ops-listen"},
		"operators among strangers":   {[]string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:8080", "--ops-listen", "127.0.0.1:8080"}, "address of its own"},
		"serving another machine":     {[]string{"serve", "--data", dir, "--oidc-issuer", "https://login.example", "--listen", "192.0.2.1:8080"}, "loopback"},
		"webhook in clear":            {[]string{"serve", "--dev", "--data", dir, "--webhook-url", "http://hooks.example", "--webhook-secret-file", "k"}, "--webhook-url"},
		"webhook without secret":      {[]string{"serve", "--dev", "--data", dir, "--webhook-url", "https://hooks.example"}, "webhook-secret-file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shell{t: t, adapt: func(p *program) {
				p.serve = func(context.Context, terminal, serveOptions) error { t.Error("it serves"); return nil }
				p.open = func(context.Context, vault.DataDir) (runningVault, error) {
					t.Error("it opens a vault")
					return nil, vault.ErrOwned
				}
			}}
			got := s.must(exitUsage, c.args...)
			if got.out != "" || !strings.Contains(got.err, c.says) {
				t.Errorf("out %q, err %q; want %q on standard error alone", got.out, got.err, c.says)
			}
		})
	}
}

// TestEveryCommandSaysHowItIsTyped types each command with a flag that it lacks, a word too
// many, a word too few and no flags: exit code 2, and sentences of ours with the usage.
func TestEveryCommandSaysHowItIsTyped(t *testing.T) {
	s := &shell{t: t, adapt: func(p *program) {
		p.serve = func(context.Context, terminal, serveOptions) error { t.Error("it serves"); return nil }
		p.open = func(context.Context, vault.DataDir) (runningVault, error) {
			t.Error("it opens a vault")
			return nil, vault.ErrOwned
		}
	}}
	root, _ := newRoot(newProgram(terminal{}))
	leaves, typed := 0, 0
	each(root, func(cmd *cobra.Command) {
		if cmd.HasAvailableSubCommands() && cmd.Annotations[runsItself] == "" {
			return
		}
		leaves++
		words := strings.Fields(cmd.CommandPath())[1:]
		var takes []string // the words in capitals that follow no flag
		line := strings.NewReplacer("(", "", ")", "").Replace(strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath()))
		for i, fields := 0, strings.Fields(line); i < len(fields) && fields[i] == strings.ToUpper(fields[i]); i++ {
			takes = append(takes, fields[i])
		}
		many := slices.Clone(words)
		for range takes {
			many = append(many, "x")
		}
		wrong := map[string][]string{"unknown flag --no-such-flag": append(slices.Clone(words), "--no-such-flag")}
		if len(takes) == 0 || !strings.HasSuffix(takes[len(takes)-1], "...") {
			wrong["takes no \"toomany\""] = append(many, "toomany")
			if cmd.Annotations[runsItself] != "" && len(takes) == 0 { // else a word may be what it takes
				delete(wrong, "takes no \"toomany\"")
				wrong["unknown command \"toomany\""] = append(many, "toomany")
			}
		}
		if len(takes) > 0 && !strings.HasPrefix(takes[0], "[") {
			wrong[strings.TrimSuffix(takes[len(takes)-1], "...")+" is missing"] = many[:len(many)-1]
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && cmd.Name() != "restore" {
				wrong["--"+f.Name] = many
			}
		})
		for says, args := range wrong {
			typed++
			got := s.must(exitUsage, args...)
			if got.out != "" || !strings.Contains(got.err, says) || !strings.Contains(got.err, cmd.CommandPath()+" --help'") {
				t.Errorf("%v: out %q, err %q; want %q", args, got.out, got.err, says)
			}
			for _, raw := range []string{"accepts ", "arg(s)", "flag(s)", "in the group", "shorthand", "strconv", "%!"} {
				if strings.Contains(got.err, raw) {
					t.Errorf("%v: raw text: %q", args, got.err)
				}
			}
		}
	})
	if leaves < 45 || typed < 130 {
		t.Fatalf("%d commands were typed in %d wrong ways", leaves, typed)
	}
}

// Whoever types help before the command, or asks a program for its version as one asks others,
// is told.
func TestHelpAndVersionAreTypedAsElsewhere(t *testing.T) {
	s := &shell{t: t}
	for _, words := range [][]string{{}, {"documents"}, {"documents", "import"}, {"help"}} {
		asked, usual := s.must(0, append([]string{"help"}, words...)...), s.must(0, append(words, "--help")...)
		if asked.out != usual.out || asked.err != "" {
			t.Errorf("help %v: out %q, err %q", words, asked.out, asked.err)
		}
	}
	for says, words := range map[string][]string{
		`unknown command "documets" for "coffre"; did you mean documents?`:           {"documets"},
		`unknown command "imprt" for "coffre documents"; did you mean import?`:       {"documents", "imprt"},
		`"coffre documents import" has no commands; its help: coffre help documents`: {"documents", "import", "now"},
	} {
		if got := s.must(exitUsage, append([]string{"help"}, words...)...); got.out != "" || !strings.Contains(got.err, says) {
			t.Errorf("help %v: out %q, err %q", words, got.out, got.err)
		}
	}
	if asked, usual := s.must(0, "--version"), s.must(0, "version"); asked != usual {
		t.Errorf("--version: %+v, want %+v", asked, usual)
	}
	if got := s.must(0, "__complete", "help", "documents", ""); !strings.Contains(got.out, "import\t") {
		t.Errorf("commands are not completed: %q", got.out)
	}
}

func TestWithoutAWordThereIsHelp(t *testing.T) {
	s := &shell{t: t}
	for _, args := range [][]string{{}, {"documents"}, {"completion"}} {
		if got := s.must(0, args...); !strings.Contains(got.out, "Examples:") {
			t.Errorf("%v: %q", args, got.out)
		}
	}
}

func TestCompletion(t *testing.T) {
	s := &shell{t: t}
	for _, sh := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := s.must(0, "completion", sh); !strings.Contains(got.out, "coffre") {
			t.Errorf("%s: nothing to complete with", sh)
		}
	}
	if got := s.must(0, "__complete", "token", "--role", ""); !strings.Contains(got.out, "privacyOfficer") {
		t.Errorf("roles are not completed: %q", got.out)
	}
}
