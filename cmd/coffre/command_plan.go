package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/plan"
)

func newPlan(p *program) *cobra.Command {
	var s plan.Size
	var store string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "plan", Short: "Compute what a vault of a given size needs",
		Long: `Computes storage, load, processes and times of a vault from the costs that were measured on two
cores: a figure names its measurement, and docs/scale.md and docs/performance.md tell how it was
made. Without a flag it is a country of 11.7 million citizens. What was not measured is
not known: that times fall with more than two cores, and what a network between the
processes, the database and Vault adds. Measure your own machines with coffre bench.

The busiest second is the average one times --peak. Every request of it is taken for one of a
citizen whose keys are not in memory, and every write for one that no other shares a sync with,
so syncs and keys are upper bounds. Processes are counted so that half of their cores stay free
then; with PostgreSQL one more, because one may end.`,
		Example: `  coffre plan
  coffre plan --citizens 500000 --documents 12 --accesses 20000000 --store sqlite
  coffre plan --citizens 11700000 --accesses 600000000 --peak 50 --json`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("store", store, plan.Stores()...); err != nil {
				return err
			}
			s.Store = plan.Store(store)
			figures, warnings, err := plan.Of(s)
			var out *plan.OutOfBounds
			if errors.As(err, &out) {
				return usage("--%s is from %d to %d", out.Name, out.From, out.To)
			}
			if err != nil {
				return err
			}
			return p.printPlan(asJSON, figures, warnings)
		},
	}
	f := cmd.Flags()
	f.Int64Var(&s.Citizens, "citizens", 11_700_000, "`number` of citizens")
	f.Int64Var(&s.Documents, "documents", 20, "`number` of documents that a citizen has at the first load")
	f.Int64Var(&s.Changes, "changes", 2, "`number` of documents of a citizen that are issued, updated or revoked in a year")
	f.Int64Var(&s.Accesses, "accesses", 600_000_000, "`number` of accesses by organisations in a year, to all citizens together")
	f.Int64Var(&s.Wallets, "wallets", 12, "`number` of times that a citizen opens their wallet in a year")
	f.Int64Var(&s.Years, "years", 5, "look as many `years` ahead")
	f.Int64Var(&s.Bytes, "bytes", 1024, "`size` of a document's content on average, in bytes")
	f.Int64Var(&s.Peak, "peak", 10, "the busiest second is this `number` of times the average one")
	f.Int64Var(&s.Cores, "cores", 2, "`number` of cores of one process")
	f.StringVar(&store, "store", string(plan.Postgres), "where the log lies: "+strings.Join(plan.Stores(), " or "))
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printPlan(asJSON bool, figures []plan.Figure, warnings []string) error {
	if asJSON {
		return printLines(p, figures)
	}
	t := p.table("PART", "WHAT", "HOW MUCH", "MEASURED BY")
	for _, one := range figures {
		t.row(one.Part, one.Name, rounded(one.Value, one.Unit), one.From)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, one := range warnings {
		if _, err := fmt.Fprintln(p.Out, "\nNote: "+one+"."); err != nil {
			return err
		}
	}
	return nil
}

// magnitudes are the words for values of a unit that are at least so large, the largest first.
var magnitudes = map[string][]struct {
	least, by float64
	word      string
}{
	"bytes":     {{1e12, 1e12, " TB"}, {1e9, 1e9, " GB"}, {1e6, 1e6, " MB"}, {0, 1, " B"}},
	"events":    {{1e6, 1e6, " million"}, {0, 1, ""}},
	"s":         {{48 * 3600, 24 * 3600, " days"}, {3600, 3600, " h"}, {60, 60, " min"}, {0, 1, " s"}},
	"1/s":       {{0, 1, " a second"}},
	"processes": {{0, 1, ""}},
	"cores":     {{0, 1, " cores"}},
	"MiB":       {{0, 1, " MiB"}},
}

// rounded writes a value with its unit for people: all digits before the point, and after it
// as many as make three.
func rounded(value float64, unit string) string {
	for _, m := range magnitudes[unit] {
		if value < m.least {
			continue
		}
		value /= m.by
		decimals := 2
		for edge := 10.0; decimals > 0 && value >= edge; edge *= 10 {
			decimals--
		}
		text := strconv.FormatFloat(value, 'f', decimals, 64)
		if decimals > 0 {
			text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
		}
		return text + m.word
	}
	panic("a plan has a unit without words: " + unit)
}
