package main

import (
	"errors"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newHealth(p *program) *cobra.Command {
	at := where{served: true}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "health", Short: "Is the vault there for its clients",
		Long: `Says UP, DEGRADED or DOWN; DOWN is exit code 1. A data directory that no process serves is
DOWN. Why a vault is DEGRADED is told at the operators' address, by /readyz (coffre serve --ops-listen).`,
		Example: `  coffre health --data data
  coffre health --url https://vault.example`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	return cmd
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
