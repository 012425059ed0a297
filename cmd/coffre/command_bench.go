package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/bench"
	"coffre/cmd/coffre/vault"
)

func newBench(p *program) *cobra.Command {
	o := bench.Options{Out: p.Out, Err: p.Err}
	var only []string
	var dir, other string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure this machine and this program side by side",
		Long: `Measures what Coffre promises, each figure beside a baseline that does the same work with
nothing around it, taking turns within one run: only the ratios mean anything elsewhere.
It prints first how often this disk syncs and this processor hashes. It works in a new
directory that it removes, and needs no network. The default takes some six minutes;
--full adds a vault of a million events, a build from nothing, which needs the sources, and
T21, which asks for an hour what the time of an answer tells of whom the vault knows.
What needs PostgreSQL is measured on the server that --postgres or ` + bench.PostgresVariable + `
names, in a database made for it and dropped, and left out without one.

T8 and T9 need a HashiCorp Vault for trying out, which COFFRE_VAULT_ADDR and what goes
with it name, and rotate its key; without one they are left out.`,
		Example: `  coffre bench
  coffre bench --only T1,T3 --rounds 9
  coffre bench --full --json > figures.jsonl
  coffre bench --dir /srv/coffre --only T1
  coffre bench --compare ./coffre.old --only T1,T2
  coffre bench --postgres postgres://maker@127.0.0.1/postgres --only T10,T11,T13`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			config, err := vault.FromEnv(p.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			o.Transit = config.Transit
			if o.Rounds < 1 || o.Rounds > 1000 {
				return usage("--rounds is from 1 to 1000")
			}
			if o.Citizens < 1 || o.Citizens > 10*bench.ManyCitizens {
				return usage("--citizens is from 1 to %d", 10*bench.ManyCitizens)
			}
			if o.Pairs < 1 || o.Pairs > bench.Pairs {
				return usage("--pairs is from 1 to %d", bench.Pairs)
			}
			for _, name := range only {
				if err := oneOf("only", name, bench.Targets()...); err != nil {
					return err
				}
			}
			if o.Postgres, err = p.address("postgres", o.Postgres, bench.PostgresVariable); err != nil {
				return err
			}
			if o.Dir, err = os.MkdirTemp(dir, "coffre-bench-"); err != nil {
				return fmt.Errorf("a directory to work in: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
			if asJSON {
				o.JSON = func(m any) error { return p.printJSON(m) }
			}
			o.Processors = p.env("GOMAXPROCS")
			if other != "" {
				return bench.Versus(cmd.Context(), other, o, only)
			}
			if err = bench.Run(cmd.Context(), o, only); errors.Is(err, bench.ErrNoAddress) {
				return &exitError{exitUsage, bench.ErrNoAddress}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&only, "only", nil, "only these `targets`, with commas between")
	f.IntVar(&o.Rounds, "rounds", bench.Rounds, "how often both sides take turns")
	f.BoolVar(&o.Full, "full", false, "also what takes long: a million events, a build from nothing")
	f.StringVar(&dir, "dir", "", "work below this `directory`, on the disk to be measured (default: the system's for temporary files)")
	f.IntVar(&o.Citizens, "citizens", bench.ManyCitizens, "how many `citizens` T9 has")
	f.IntVar(&o.Pairs, "pairs", bench.Pairs, "how many `pairs` of a known and an unknown person T21 asks about")
	f.StringVar(&other, "compare", "", "measure with this other `program` of the command too, in turns, and tell how many times its figures these are")
	f.StringVar(&o.Profile, "profile", "", "write profiles of processor and heap of what is measured to this `directory`")
	f.StringVar(&o.Postgres, "postgres", "", "`address` of a PostgreSQL, of a role that may create databases, without a password (default: "+bench.PostgresVariable+")")
	jsonFlag(cmd, &asJSON)
	return cmd
}
