package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/projections"
)

func newAuditCompare(p *program) *cobra.Command {
	var at where
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "compare --reason CODE", Short: "Have a vault compare its read models with the log",
		Long: `Asks a vault, here or elsewhere, to build each read model from the log once more and to compare
every row with the one that answers, waits for that, and says what was found as coffre audit
projections does of a directory, which trusts the vault in nothing. Who asked and why is on record
there. One comparison goes on at a time: a second request waits for the one that is under way.
Interrupted, it goes on, and the next request is told of it.

It ends with 0 when every row is as the log makes it, 1 on an error, 2 on a mistake of usage, 3
when a row differs, 4 when no row differs and a read model could not be compared.`,
		Example: `  coffre audit compare --data data --reason audit
  coffre audit compare --url https://vault.example --token-file t --reason audit --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asAuditor, func(c *client.Client) error {
				asked, err := client.Read[contract.ModelComparison](c.CreateComparison(cmd.Context(), contract.CreateComparisonParams{IdempotencyKey: uuid.New()}, contract.ComparisonCreate{Reason: domain.ReasonCode(reason)}))
				if err != nil {
					return err
				}
				done, err := p.followComparison(cmd.Context(), c, asked.Body)
				if err != nil {
					return err
				}
				all := make([]projections.Compared, len(done.Models))
				for i, m := range done.Models {
					all[i] = comparedBy(m)
				}
				return p.printCompared(asJSON, all)
			})
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "a `code` of the registry that says why, for the record")
	required(cmd, "reason")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// followComparison waits until a comparison is over.
func (p *program) followComparison(ctx context.Context, c *client.Client, one contract.ModelComparison) (contract.ModelComparison, error) {
	bar := p.progress(-1, "events", false)
	defer bar.Done()
	var shown int64
	err := poll(ctx, func() (bool, time.Time, error) {
		now, err := client.Read[contract.ModelComparison](c.GetComparison(ctx, one.ComparisonID))
		if err != nil {
			return false, time.Time{}, err
		}
		one = now.Body
		var taken int64
		for _, m := range one.Models {
			taken += m.Taken
		}
		bar.Add(max(0, taken-shown))
		shown = max(shown, taken)
		if one.State == contract.ComparisonStateFailed {
			return false, time.Time{}, &client.Refusal{Problem: one.Problem}
		}
		return one.State == contract.ComparisonStateDone, time.Time{}, nil
	})
	return one, err
}

// comparedBy is what a vault found of one read model, as the comparison of a directory tells it.
func comparedBy(m contract.ComparedModel) projections.Compared {
	one := projections.Compared{
		Model: m.Projection, Version: m.Version, Events: m.Size, Rows: m.Rows, Wrong: m.Differing,
		Differences: []projections.Difference{}, Incomplete: projections.Hindrance(m.Hindrance), Stopped: m.StoppedAt,
	}
	for _, d := range m.Differences {
		row := projections.Difference{Table: d.Table, Row: d.Row, What: projections.Divergence(d.Divergence), Columns: d.Columns, Leaf: d.Leaf, Type: d.Type}
		if d.EventID != nil {
			row.Event = *d.EventID
		}
		one.Differences = append(one.Differences, row)
	}
	return one
}
