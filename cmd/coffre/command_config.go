package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

func newConfig(p *program) *cobra.Command {
	return group("config", "What a process is configured to do, and from where", `  coffre config explain --config coffre.yaml
  coffre config check --config coffre.yaml --data data`,
		newConfigExplain(p), newConfigCheck(p))
}

func newConfigExplain(p *program) *cobra.Command {
	var asJSON, all bool
	cmd, _ := serveCommand(p)
	cmd.Use, cmd.Short = "explain", "Tell each setting's value, and what says it"
	cmd.Long = `Tells what counts of each setting, and where that is said: by a flag, a variable of the
environment, or a line of the configuration file, in this order; else it is the default. The flags
are those of coffre serve. No secret is among the settings but passwords in addresses, which are
not shown. Nothing is opened, and no value is judged: coffre config check does that.`
	cmd.Example = `  coffre config explain
  coffre config explain --config coffre.yaml --listen 127.0.0.1:9000
  coffre config explain --all --json`
	delete(cmd.Flags().Lookup("data").Annotations, cobra.BashCompOneRequiredFlag)
	cmd.Flags().BoolVar(&all, "all", false, "also the settings that nothing says and that have no default of their own")
	jsonFlag(cmd, &asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		told := p.explain(cmd, all)
		if asJSON {
			return printLines(p, told)
		}
		t := p.table("KEY", "VALUE", "FROM")
		for _, one := range told {
			t.row(one.Key, one.Value, one.From)
		}
		return t.flush()
	}
	return cmd
}

// explained is what counts of one setting.
type explained struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"` // a flag, a variable, a file and its line, or default
}

// explain tells what counts of the settings that something says or that have a default, or of all.
func (p *program) explain(cmd *cobra.Command, all bool) (told []explained) {
	for _, s := range settings {
		one := explained{s.key, p.value(cmd, s), p.source(s)}
		if one.From == "" {
			one.From = "default"
			if f := cmd.Flags().Lookup(s.key); f != nil && one.Value == "" {
				one.Value = f.DefValue
			}
		}
		if s.password {
			one.Value = withoutPassword(one.Value)
		}
		if all || one.Value != "" || one.From != "default" {
			told = append(told, one)
		}
	}
	return told
}

// withoutPassword returns an address that may be shown.
func withoutPassword(address string) string {
	rest, other := strings.CutPrefix(address, "postgres-other:")
	if !hasPassword(rest) {
		return address
	}
	u, err := url.Parse(rest)
	if err != nil {
		return "(not shown: it may hold a password)"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	if other {
		return "postgres-other:" + u.Redacted()
	}
	return u.Redacted()
}

func newConfigCheck(p *program) *cobra.Command {
	var as string
	cmd, decide := serveCommand(p)
	cmd.Use, cmd.Short = "check --data DIR", "Tell what is wrong with the settings, and serve nothing"
	cmd.Long = `Judges the settings as coffre serve does before it serves, and reads the files that they name;
--as says that they are those of coffre destroyer or coffre rotator. No database, no Vault and no
provider is asked, nothing is made, and no port is taken. What is wrong is told in one line: what
says it, the setting, and what it has to be.`
	cmd.Example = `  coffre config check --config coffre.yaml --data data
  coffre config check --data data --dev --listen 0.0.0.0:8080
  coffre config check --as destroyer --config destroyer.yaml --data destroyer`
	cmd.Flags().StringVar(&as, "as", "serve", "the `command` whose settings they are: "+strings.Join(processes, ", "))
	complete(cmd, "as", processes...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := oneOf("as", as, processes...); err != nil {
			return err
		}
		if err := p.judge(cmd, as, decide); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Out, "coffre %s would start with these settings.\n", as)
		return err
	}
	return cmd
}

// processes are the commands that settings are of.
var processes = []string{"serve", "destroyer", "rotator"}

// judge returns what is wrong with the settings of a command.
func (p *program) judge(cmd *cobra.Command, as string, decide func(*cobra.Command) (serveOptions, error)) error {
	if as == "serve" {
		o, err := decide(cmd)
		if err != nil {
			return err
		}
		if _, err := o.vaultOptions(slog.New(slog.DiscardHandler)); err != nil {
			return &exitError{exitUsage, err}
		}
		return nil
	}
	o := serveOptions{Duty: map[string]vault.Duty{"destroyer": vault.Destroying, "rotator": vault.Rotating}[as]}
	typed := func(key string) string { return cmd.Flags().Lookup(key).Value.String() }
	o.Ops = typed("ops-listen")
	if err := o.configure(p.env, vault.DataDir(typed("data")), vault.StoresConfig{Log: typed("store"), ReadModels: typed("readmodels"), Keys: typed("keys")}); err != nil {
		return err
	}
	if err := o.checkDuty(as); err != nil {
		return err
	}
	return p.checkFiles(cmd)
}
