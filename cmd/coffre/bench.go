package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	benchCallers = 64   // callers or HTTP clients at the same time
	benchPayload = 1024 // bytes of a personal part
	benchRounds  = 5
	benchSpan    = 1200 * time.Millisecond // of one round of one side
)

// target is one figure Coffre promises, and how it is found.
type target struct {
	name string
	what string
	run  func(*bench, context.Context) error
}

// targets in the order they run.
var targets = []target{
	{"T1", "sealed appends, 64 callers", (*bench).appends},
	{"T2", "POST /documents, 64 clients", (*bench).issuing},
	{"T3", "own wallet of 10 documents, 64 clients", (*bench).walletReading},
	{"T4", "access under a consent, 64 clients", (*bench).accessing},
	{"T5", "rebuild of all read models", (*bench).rebuilding},
	{"T6", "T1 and T3 in a large vault", (*bench).growth},
	{"T7", "bytes on disk and in memory", (*bench).sizes},
	{"T8", "T1 with keys in Vault", (*bench).appendsInVault},
	{"T9", "prefetch and rotation of 100,000 keys in Vault", (*bench).keysInVault},
	{"T10", "sealed appends, 64 callers, PostgreSQL", (*bench).postgresAppends},
	{"T11", "POST /documents, three processes on one PostgreSQL, 64 clients each", (*bench).severalProcesses},
	{"T12", "appends and reads through the KurrentDB store, T13 of its tail", (*bench).kurrentClient},
	{"T13", "a tailing reader", (*bench).tailing},
	{"T20", "start, binary, build", (*bench).starts},
}

// needVault are the targets that are left out where no Vault is configured.
var needVault = []string{"T8", "T9"}

// bench is one run of the command.
type bench struct {
	*program
	dir     string // where its data are, gone afterwards
	rounds  int
	span    time.Duration
	full    bool
	asJSON  bool
	profile string       // folder for CPU profiles of the subjects; "": none
	server  string       // address of a PostgreSQL to work on; "": none
	vault   *VaultConfig // nil: there is none
	people  int          // citizens of T9

	largeDir dataDir // see large; "": not filled yet
}

// measure is one line of the result. A ratio is the median of the rounds' ratios,
// so that what disturbs the machine for some rounds disturbs both sides of them.
type measure struct {
	Name          string  `json:"name"`
	Value         float64 `json:"value"`
	Unit          string  `json:"unit"`
	Baseline      string  `json:"baseline,omitzero"`
	BaselineValue float64 `json:"baselineValue,omitzero"`
	Ratio         float64 `json:"ratio,omitzero"`
	Target        string  `json:"target,omitzero"` // of the ratio, or of the value where there is none
}

func newBench(p *program) *cobra.Command {
	b := &bench{program: p, span: benchSpan}
	var only []string
	var dir string
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure this machine and this program side by side",
		Long: `Measures what Coffre promises, each figure beside a baseline that does the same work with
nothing around it, taking turns within one run: only the ratios mean anything elsewhere.
It prints first how often this disk syncs and this processor hashes. It works in a new
directory that it removes, and needs no network. The default takes some six minutes;
--full adds a vault of a million events and a build from nothing, which needs the sources.
What needs PostgreSQL is measured on the server that --postgres or ` + benchVariable + `
names, in a database made for it and dropped, and left out without one.

T8 and T9 need a HashiCorp Vault for trying out, which COFFRE_VAULT_ADDR and what goes
with it name, and rotate its key; without one they are left out.`,
		Example: `  coffre bench
  coffre bench --only T1,T3 --rounds 9
  coffre bench --full --json > figures.jsonl
  coffre bench --dir /srv/coffre --only T1
  coffre bench --postgres postgres://maker@127.0.0.1/postgres --only T10,T11,T13`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			config, err := FromEnv(b.env)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			b.vault = config.Vault
			if b.rounds < 1 || b.rounds > 1000 {
				return usage("--rounds is from 1 to 1000")
			}
			if b.people < 1 || b.people > 10*manyCitizens {
				return usage("--citizens is from 1 to %d", 10*manyCitizens)
			}
			names := make([]string, len(targets))
			for i, t := range targets {
				names[i] = t.name
			}
			for _, name := range only {
				if err := oneOf("only", name, names...); err != nil {
					return err
				}
			}
			if b.server, err = b.address("postgres", b.server, benchVariable); err != nil {
				return err
			}
			if b.dir, err = os.MkdirTemp(dir, "coffre-bench-"); err != nil {
				return fmt.Errorf("a directory to work in: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
			return b.all(cmd.Context(), only)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&only, "only", nil, "only these `targets`, with commas between")
	f.IntVar(&b.rounds, "rounds", benchRounds, "how often both sides take turns")
	f.BoolVar(&b.full, "full", false, "also what takes long: a million events, a build from nothing")
	f.StringVar(&dir, "dir", "", "work below this `directory`, on the disk to be measured (default: the system's for temporary files)")
	f.IntVar(&b.people, "citizens", manyCitizens, "how many `citizens` T9 has")
	f.StringVar(&b.profile, "profile", "", "write CPU profiles of what is measured to this `directory`")
	f.StringVar(&b.server, "postgres", "", "`address` of a PostgreSQL, of a role that may create databases, without a password (default: "+benchVariable+")")
	jsonFlag(cmd, &b.asJSON)
	return cmd
}

// all runs the chosen targets; one that fails is told, and the others go on.
func (b *bench) all(ctx context.Context, only []string) error {
	spareProcessors(b.env("GOMAXPROCS")) // as a server has it
	if err := b.machine(ctx); err != nil {
		return err
	}
	var failed []error
	for _, t := range targets {
		named := slices.Contains(only, t.name)
		if len(only) > 0 && !named {
			continue
		}
		if b.vault == nil && slices.Contains(needVault, t.name) {
			if named {
				failed = append(failed, fmt.Errorf("%s (%s): %w", t.name, t.what, errNoVault))
			}
			continue
		}
		if err := t.run(b, ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = append(failed, fmt.Errorf("%s (%s): %w", t.name, t.what, err))
		}
	}
	return errors.Join(failed...)
}

// tell prints one measure as soon as it is known.
func (b *bench) tell(m measure) error {
	if b.asJSON {
		m.Value, m.BaselineValue, m.Ratio = rounded(m.Value), rounded(m.BaselineValue), rounded(m.Ratio)
		return b.printJSON(m)
	}
	line := fmt.Sprintf("%-14s %10s %-9s", m.Name, human(m.Value), m.Unit)
	if m.Baseline != "" {
		line += fmt.Sprintf(" ratio %-6s of %10s %s", human(m.Ratio), human(m.BaselineValue), m.Baseline)
	}
	if m.Target != "" {
		line += fmt.Sprintf(" (target %s: %s)", m.Target, verdict(m))
	}
	_, err := fmt.Fprintln(b.Out, line)
	return err
}

// verdict says whether a measure reaches its target, "<= N" or ">= N".
func verdict(m measure) string {
	got := m.Value
	if m.Baseline != "" {
		got = m.Ratio
	}
	direction, number, _ := strings.Cut(m.Target, " ")
	want, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return "?"
	case direction == ">=" && got >= want, direction == "<=" && got <= want:
		return "reached"
	}
	return "not reached"
}

// rounded keeps four digits: more would be noise.
func rounded(v float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return f
}

func human(v float64) string { return strconv.FormatFloat(rounded(v), 'f', -1, 64) }

// folder makes a new folder for one part of the run.
func (b *bench) folder(name string) (dataDir, error) {
	dir := dataDir(filepath.Join(b.dir, name))
	return dir, dir.create()
}
