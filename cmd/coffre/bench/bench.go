// Package bench measures what Coffre promises, each figure beside a baseline that does
// the same work with nothing around it, taking turns within one run: only the ratios
// mean anything on another machine. It imports adapters, because it measures stores,
// keys and logs bare, as well as whole vaults.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffre/cmd/coffre/vault"
)

const (
	// Rounds is how often both sides of a figure take turns, unless a caller says it.
	Rounds = 5

	callers = 64                      // callers or HTTP clients at the same time
	payload = 1024                    // bytes of a personal part
	span    = 1200 * time.Millisecond // of one round of one side
)

// target is a figure that Coffre promises, with the function that measures it.
type target struct {
	name string
	what string
	run  func(*bench, context.Context) error
}

// targets in the order they run.
var targets = []target{
	{"T1", "sealed appends, 64 callers", (*bench).appends},
	{"T2", "POST /documents, 64 clients", (*bench).issuing},
	{"T3", "own wallet of 10 documents, 64 clients, keys in memory and not", (*bench).walletReading},
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
	{"T14", "a large vault verified", (*bench).auditing},
	{"T15", "a wallet as it was at a random past instant", (*bench).asOf},
	{"T16", "T1 with the tree and checkpoints beside", (*bench).proving},
	{"T17", "the consent log exported in every format", (*bench).exporting},
	{"T18", "events through the router of reactors", (*bench).reacting},
	{"T20", "start, binary, build", (*bench).starts},
	{"T22", "a vault copied, and taken as a backup", (*bench).copying},
	{"T21", "what time tells of whether a citizen is known", (*bench).telling},
}

// lengthy are the targets that only a run with Full measures, or one that names them.
var lengthy = []string{"T21"}

// needVault are the targets that are left out where no Vault is configured.
var needVault = []string{"T8", "T9"}

// Options say what is measured, and how.
type Options struct {
	Out, Err io.Writer
	JSON     func(any) error // prints a measure for machines; nil: it is told to people

	Dir        string // where the data are, gone afterwards
	Rounds     int
	Full       bool                 // also what takes long
	Profile    string               // folder for CPU profiles of the subjects; "": none
	Postgres   string               // address of a PostgreSQL to work on; "": none
	Transit    *vault.TransitConfig // nil: there is none
	Citizens   int                  // of T9
	Pairs      int                  // of T21
	Processors string               // GOMAXPROCS as the operator set it; "": twice the processors
}

// bench measures the chosen targets once, in the order of the table.
type bench struct {
	Options
	span     time.Duration
	largeDir vault.DataDir // see large; "": not filled yet
}

// Targets returns the names of all targets in the order they run.
func Targets() []string {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.name
	}
	return names
}

// Run measures the targets of those names, or all.
func Run(ctx context.Context, o Options, only []string) error {
	return (&bench{Options: o, span: span}).all(ctx, only)
}

// Measure is a line of the result. A ratio is the median of the rounds' ratios,
// so that what disturbs the machine for some rounds disturbs both sides of them.
type Measure struct {
	Name          string  `json:"name"`
	Value         float64 `json:"value"`
	Unit          string  `json:"unit"`
	Baseline      string  `json:"baseline,omitzero"`
	BaselineValue float64 `json:"baselineValue,omitzero"`
	Ratio         float64 `json:"ratio,omitzero"`
	// Processor time of an operation in microseconds, in code and in the system, of this
	// whole process: of clients and servers alike. It varies less than the rate beside
	// other work.
	ProcessorMicros         float64 `json:"cpuMicros,omitzero"`
	BaselineProcessorMicros float64 `json:"baselineCpuMicros,omitzero"`
	Target                  string  `json:"target,omitzero"` // of the ratio, or of the value where there is none
}

// all runs the chosen targets; one that fails is told, and the others go on.
func (b *bench) all(ctx context.Context, only []string) error {
	vault.SpareProcessors(b.Processors) // as a server has it
	if err := b.machine(ctx); err != nil {
		return err
	}
	var failed []error
	for _, t := range targets {
		named := slices.Contains(only, t.name)
		if len(only) > 0 && !named {
			continue
		}
		if slices.Contains(lengthy, t.name) && !named && !b.Full {
			continue
		}
		if b.Transit == nil && slices.Contains(needVault, t.name) {
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
func (b *bench) tell(m Measure) error {
	if b.JSON != nil {
		for _, v := range []*float64{&m.Value, &m.BaselineValue, &m.Ratio, &m.ProcessorMicros, &m.BaselineProcessorMicros} {
			*v = rounded(*v)
		}
		return b.JSON(m)
	}
	line := fmt.Sprintf("%-14s %10s %-9s", m.Name, human(m.Value), m.Unit)
	if m.Baseline != "" {
		line += fmt.Sprintf(" ratio %-6s of %10s %s", human(m.Ratio), human(m.BaselineValue), m.Baseline)
	}
	if m.ProcessorMicros > 0 {
		line += fmt.Sprintf(", processor %s µs of %s", human(m.ProcessorMicros), human(m.BaselineProcessorMicros))
	}
	if m.Target != "" {
		line += fmt.Sprintf(" (target %s: %s)", m.Target, verdict(m))
	}
	_, err := fmt.Fprintln(b.Out, line)
	return err
}

// verdict says whether a measure reaches its target, "<= N" or ">= N".
func verdict(m Measure) string {
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
func (b *bench) folder(name string) (vault.DataDir, error) {
	dir := vault.DataDir(filepath.Join(b.Dir, name))
	return dir, dir.Create()
}
