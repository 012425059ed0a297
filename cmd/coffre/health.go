package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newHealth(p *program) *cobra.Command {
	at := where{served: true}
	var asJSON, reasons bool
	cmd := &cobra.Command{
		Use: "health", Short: "Is the vault there for its clients",
		Long: `Says UP, DEGRADED or DOWN; DOWN is exit code 1. A data directory that no process serves is
DOWN. Why a vault is DEGRADED is told to operators: by --reasons, and at the operators' address by
/readyz (coffre serve --ops-listen).`,
		Example: `  coffre health --data data
  coffre health --data data --reasons
  coffre health --url https://vault.example`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reasons {
				return p.condition(cmd.Context(), at, asJSON)
			}
			err := p.asksOpenly(cmd.Context(), at, func(c *client.Client) error {
				resp, err := c.GetHealth(cmd.Context()) // 503 is an answer here
				if err != nil {
					return err
				}
				down := resp.StatusCode == 503
				if down {
					resp.StatusCode = 200
				}
				h, err := client.Read[contract.Health](resp, nil)
				if err != nil {
					return err
				}
				if err := p.print(asJSON, h.Body, "health", string(h.Body.Status)); err != nil {
					return err
				}
				if down {
					return &exitError{code: exitFailed}
				}
				return nil
			})
			if errors.Is(err, errNotServed) {
				down := contract.Health{Status: contract.HealthStatusDOWN}
				return errors.Join(p.print(asJSON, down, "health", string(down.Status)), err)
			}
			return err
		},
	}
	at.open(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&reasons, "reasons", false, "as an operator: with the reasons why it is not UP")
	return cmd
}

// condition says the health with its reasons.
func (p *program) condition(ctx context.Context, at where, asJSON bool) error {
	return p.asks(ctx, at, asOperator, func(c *client.Client) error {
		r, err := client.Read[contract.Condition](c.GetCondition(ctx))
		if err != nil {
			return err
		}
		facts := []string{"health", string(r.Body.Status)}
		for _, reason := range r.Body.Reasons {
			facts = append(facts, "because", reason)
		}
		if err := p.print(asJSON, r.Body, facts...); err != nil {
			return err
		}
		if r.Body.Status == contract.HealthStatusDOWN {
			return &exitError{code: exitFailed}
		}
		return nil
	})
}

// print prints one thing: as JSON, or as its facts.
func (p *program) print(asJSON bool, v any, facts ...string) error {
	if asJSON {
		return p.printJSON(v)
	}
	return p.facts(facts...)
}

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "for machines: one JSON object a line")
}
