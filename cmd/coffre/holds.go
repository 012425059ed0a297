package main

import (
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// standingStates are the states of legal holds and restrictions.
var standingStates = []string{"standing", "lifted"}

func newHolds(p *program) *cobra.Command {
	return group("holds", "Legal holds, which forbid every erasure of a citizen's documents",
		`  coffre holds list --data data --state standing`,
		newHoldsList(p))
}

func newHoldsList(p *program) *cobra.Command {
	var at where
	var me officer
	var asJSON bool
	var states []string
	cmd := &cobra.Command{
		Use: "list", Short: "Legal holds of all citizens, oldest first",
		Long: "With --state standing those that forbid an erasure now. A look is on record.",
		Example: `  coffre holds list --data data --state standing
  coffre holds list --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := contract.ListHoldsParams{PageSize: 200}
			var err error
			if ask.State, err = statesOf[contract.StandingState](states, standingStates); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, token.Grant{Role: domain.RolePrivacyOfficer, Subject: me.subject}, func(c *client.Client) error {
				t := p.table("HOLD", "CITIZEN", "REASON", "PLACED", "LIFTED")
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.LegalHold, contract.Cursor, error) {
					ask.After = after
					page, err := client.Read[contract.LegalHolds](c.ListHolds(cmd.Context(), ask))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(h contract.LegalHold) {
					t.row(h.LegalHoldID.String(), h.CitizenID.String(), string(h.Reason), day(h.PlacedAt), day(h.LiftedAt))
				})
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringSliceVar(&states, "state", nil, "only these `states`: standing, lifted")
	complete(cmd, "state", standingStates...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// statesOf reads the values of --state, each of which is one of those known.
func statesOf[T ~string](states, known []string) (all []T, err error) {
	for _, s := range states {
		if err := oneOf("state", s, known...); err != nil {
			return nil, err
		}
		all = append(all, T(s))
	}
	return all, nil
}
